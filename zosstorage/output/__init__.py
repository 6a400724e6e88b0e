"""The output of the program for people and programs: log, errors, plan, status, report, fstab and JSON Schema."""
