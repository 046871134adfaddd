/** What can be exported, and the columns of each: the names of the HTTP API. */

/** `text` comes from customers; the rest is ours, and safe in every format. */
export type ColumnKind = 'text' | 'decimal' | 'count' | 'time' | 'json';

export interface Column {
  readonly name: string;
  readonly kind: ColumnKind;
}
export type ExportRow = Readonly<Record<string, unknown>>;

const columns = (kinds: Readonly<Record<string, ColumnKind>>): readonly Column[] =>
  Object.entries(kinds).map(([name, kind]) => ({ name, kind }));

export const TABLES = {
  events: columns({
    tenant_id: 'text',
    event_type: 'text',
    quantity: 'decimal',
    idempotency_key: 'text',
    event_timestamp: 'time',
    subject: 'text',
    properties: 'json',
    lineage: 'text',
    position: 'text',
    arrival: 'time',
  }),
  usage: columns({
    tenant_id: 'text',
    event_type: 'text',
    hour: 'time',
    total_quantity: 'decimal',
    event_count: 'count',
  }),
} as const;
export type TableName = keyof typeof TABLES;

export const FORMATS = ['csv', 'ndjson', 'parquet'] as const;
export type ExportFormat = (typeof FORMATS)[number];
