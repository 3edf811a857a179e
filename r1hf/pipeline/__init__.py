"""The stage graph: read and checked (graph, check), compared with what is on disk (plan), and run (run)."""
