"""One module for each kind of situation; each function is one."""
