"""A module that takes 60 ms of CPU to import."""
import time

_end = time.process_time() + 0.06
while time.process_time() < _end:
    pass
