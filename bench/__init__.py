"""Measurements. `bench/run` sends messages beside others; `bench/run pages` reads pages of small and large tables."""
