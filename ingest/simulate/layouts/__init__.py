"""One file per simulated corpus: `layout(seed) -> Layout`."""
