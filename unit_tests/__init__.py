"""Tests of single modules, without network."""
