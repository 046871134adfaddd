// Generated from schemas/ by `npm run generate`. Do not edit.

/** schemas/archive_record.v1.avsc */
export const archiveRecordV1 = {
  "type": "record",
  "name": "ArchiveRecord",
  "namespace": "dev.meterfold.v1",
  "doc": "One record of the log, with what was decided of it.",
  "fields": [
    {
      "name": "position",
      "type": "string",
      "doc": "Place in its lineage; string order is log order."
    },
    {
      "name": "arrival",
      "type": {
        "type": "long",
        "logicalType": "timestamp-millis"
      },
      "doc": "Running maximum of the broker's time."
    },
    {
      "name": "key",
      "type": [
        "null",
        "string"
      ],
      "default": null,
      "doc": "The broker's partition key."
    },
    {
      "name": "verdict",
      "type": "string",
      "doc": "ok, MISROUTED, or the code of a reject."
    },
    {
      "name": "rules",
      "type": "int",
      "doc": "Version of the rule set that gave the verdict."
    },
    {
      "name": "event",
      "type": [
        "null",
        "dev.meterfold.v1.UsageEvent"
      ],
      "default": null
    },
    {
      "name": "value",
      "type": [
        "null",
        "bytes"
      ],
      "default": null,
      "doc": "The record as it came, kept where it is not ok."
    }
  ]
} as const;

/** schemas/archive_record.v2.avsc */
export const archiveRecordV2 = {
  "type": "record",
  "name": "ArchiveRecord",
  "namespace": "dev.meterfold.v2",
  "doc": "One record of the log, with what was decided of it.",
  "fields": [
    {
      "name": "position",
      "type": "string",
      "doc": "Place in its lineage; string order is log order."
    },
    {
      "name": "arrival",
      "type": {
        "type": "long",
        "logicalType": "timestamp-millis"
      },
      "doc": "Running maximum of the broker's time."
    },
    {
      "name": "key",
      "type": [
        "null",
        "string"
      ],
      "default": null,
      "doc": "The broker's partition key."
    },
    {
      "name": "verdict",
      "type": "string",
      "doc": "ok, MISROUTED, or the code of a reject."
    },
    {
      "name": "rules",
      "type": "int",
      "doc": "Version of the rule set that gave the verdict."
    },
    {
      "name": "event",
      "type": [
        "null",
        "dev.meterfold.v1.UsageEvent"
      ],
      "default": null
    },
    {
      "name": "value",
      "type": [
        "null",
        "bytes"
      ],
      "default": null,
      "doc": "The record as it came, kept where it is not ok."
    },
    {
      "name": "key_id",
      "type": [
        "null",
        "string"
      ],
      "default": null,
      "doc": "Reserved: the tenant's key under which event and value are encrypted. Null: they are in the clear."
    }
  ]
} as const;

/** schemas/usage_event.v1.avsc */
export const usageEventV1 = {
  "type": "record",
  "name": "UsageEvent",
  "namespace": "dev.meterfold.v1",
  "doc": "One usage fact.",
  "fields": [
    {
      "name": "tenant_id",
      "type": "string",
      "doc": "Who is billed. 1 to 256 bytes of UTF-8."
    },
    {
      "name": "event_type",
      "type": "string"
    },
    {
      "name": "quantity",
      "type": {
        "type": "bytes",
        "logicalType": "decimal",
        "precision": 38,
        "scale": 12
      },
      "doc": "Not negative."
    },
    {
      "name": "idempotency_key",
      "type": "string",
      "doc": "Two events of a tenant with the same key are one."
    },
    {
      "name": "event_timestamp",
      "type": {
        "type": "long",
        "logicalType": "timestamp-micros"
      }
    },
    {
      "name": "subject",
      "type": [
        "null",
        "string"
      ],
      "default": null
    },
    {
      "name": "properties",
      "type": "string",
      "doc": "Canonical JSON text of an object.",
      "default": "{}"
    }
  ]
} as const;
