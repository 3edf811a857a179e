"""Checks that a preflight and the doctor share: plain functions that return findings."""
