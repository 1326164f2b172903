"""`make probe`: what the two services' documents leave open, learnt from a real account.

Read-only, at most 40 requests. What is printed holds no key and nothing of a customer's.
"""
