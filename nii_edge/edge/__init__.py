"""The edge daemon: frames in, verdicts out, alerts up.

`ingest` (one thread) owns the scanners' sockets, `engine` (one thread) the inference process,
`decoding` (one thread) the decoder process, `committer` (one thread) the ledger, `uplink` (one thread)
the line to the collector, `manifests` (one thread) the papers that come by it. Each owns its state; they
talk through queues. `daemon` puts them together.
"""
