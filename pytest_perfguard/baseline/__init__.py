"""Where runs are kept, which commit they belong to, and which of them a run is compared with."""
