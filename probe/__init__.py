"""`make probe`: learn from a real account what the documents of the two services leave open.

The probe only reads, with at most 40 requests. It prints no key and no customer's data.
"""
