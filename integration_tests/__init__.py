"""The installed command as a process, over real HTTP."""
