"""The interpreters of the devices, which judge every file before it is returned."""
