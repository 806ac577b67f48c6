"""X-ray arithmetic on pixels, pure: what models and people see of a frame."""
