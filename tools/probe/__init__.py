"""`make probe`: find out from a real account what the services' documentation does not specify.

The probe only reads, with at most 40 requests. It prints no key and no customer's data.
"""
