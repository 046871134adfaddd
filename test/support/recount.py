"""Counts objects of the archive by fastavro, which shares no code with Meterfold. One JSON line for each path given."""

import decimal
import json
import sys

import fastavro

decimal.getcontext().prec = 60

for path in sys.argv[1:]:
    sums, positions, rejects = {}, [], []
    with open(path, "rb") as file:
        reader = fastavro.reader(file)
        for record in reader:
            positions.append(record["position"])
            event = record["event"]
            if record["verdict"] != "ok":
                rejects.append([record["verdict"], record["value"].hex()])
                continue
            key = f"{event['tenant_id']} {event['event_type']}"
            sums[key] = sums.get(key, decimal.Decimal(0)) + event["quantity"]
        told = {
            "codec": reader.metadata["avro.codec"],
            "lineage": reader.metadata["meterfold.lineage"],
            "start": reader.metadata["meterfold.start"],
            "records": int(reader.metadata["meterfold.records"]),
        }
    told["sums"] = {key: format(sum, ".12f") for key, sum in sorted(sums.items())}
    print(json.dumps({**told, "positions": positions, "rejects": rejects}))
