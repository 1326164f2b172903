"""Tests of the installed command as a process, over HTTP."""
