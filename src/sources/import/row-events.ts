/** A row to its events, by a mapping. */
import { type Edge, openEdge, type Passed } from '../../domain/edge.ts';
import { checkEvent, checkTime, type NativeFields, type UsageEvent } from '../../domain/event.ts';
import { FUTURE_BOUND_MS } from '../../domain/epoch.ts';
import { type Fault, isFault } from '../../domain/fault.ts';
import { parseJsonText, UnsafeNumber } from '../../domain/json.ts';
import { checkKept, FOR_EVER, type Kept } from '../../domain/kept.ts';
import { type Cell, keyOf, type Mapping, textOf } from './mapping.ts';
import type { Row } from './row.ts';

/** `YYYY-MM-DD HH:MM:SS.fffffff` is UTC unless it says otherwise; further digits than microseconds are cut off. */
export function timeText(text: string): string {
  const trimmed = text.trim();
  return /[Zz]$|[+-]\d\d:?\d\d$/.test(trimmed.slice(10)) ? trimmed : `${trimmed}Z`;
}

const cellOf = (cell: Cell, values: NativeFields): unknown => ('value' in cell ? cell.value : values[cell.column]);

/** What is no JSON stays a text, and is refused as that. */
function parsed(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return parseJsonText(text);
  } catch {
    return text;
  }
}

function propertiesOf({ properties, propertiesColumn }: Mapping, values: NativeFields): unknown {
  if (propertiesColumn === undefined)
    return Object.fromEntries([...properties].map(([name, cell]) => [name, cellOf(cell, values) ?? null]));
  const whole = values[propertiesColumn];
  return typeof whole === 'string' ? parsed(whole) : whole;
}

/** The fields of each event of a row. */
export function fieldsOf(file: string, { row, values = {} }: Row, mapping: Mapping): NativeFields[] {
  const properties = propertiesOf(mapping, values);
  const subject = mapping.subject === undefined ? undefined : textOf(cellOf(mapping.subject, values));
  return mapping.events.map(({ eventType: type, quantity }) => {
    const amount = cellOf(quantity, values);
    const eventType = textOf(cellOf(type, values));
    return {
      tenant_id: textOf(cellOf(mapping.tenant, values)),
      event_type: eventType,
      // A number of NDJSON keeps its text, however long: it stands in a file, nobody can be asked for a string.
      quantity: amount instanceof UnsafeNumber ? amount.text : typeof amount === 'string' ? amount.trim() : amount,
      idempotency_key: keyOf(mapping.idempotencyKey, { file, row, eventType }, values),
      event_timestamp: timeText(textOf(values[mapping.time.column])),
      ...(subject === undefined || subject === '' ? {} : { subject }),
      properties,
    };
  });
}

interface RowOptions {
  readonly mapping: Mapping;
  readonly now: () => number;
  readonly kept?: Kept;
  readonly edge?: Edge;
}

/** What a row gives: its events, or the first fault of any of them. A row is used whole or not at all. */
export function eventsOf(
  file: string,
  row: Row,
  { mapping, now, kept = FOR_EVER, edge = openEdge }: RowOptions,
): Passed | Fault {
  const moment = now();
  const inTime = (event: UsageEvent): Fault | undefined =>
    checkTime(event, moment) ?? checkKept(event, moment + FUTURE_BOUND_MS, kept);
  const [events, filtered]: [UsageEvent[], string[]] = [[], []];
  for (const fields of fieldsOf(file, row, mapping)) {
    const event = checkEvent(fields);
    if (isFault(event)) return event;
    const passed = inTime(event) ?? edge(event, inTime);
    if (isFault(passed)) return passed;
    events.push(...passed.events);
    filtered.push(...passed.filtered);
  }
  return { events, filtered };
}
