"""Where records come in: three adapters, one boundary that validates, one producer.

    HTTP push  (push.py)  --\\
    HTTP poll  (poll.py)  ---+-> records.py -> producer.py -> Kafka raw topics
    SSE        (stream.py) -/

A new way in is a module beside these three that turns what it got into
`Outgoing` records and awaits `send`. Another vendor of a polled feed is one
module in `vendors/`.
"""
