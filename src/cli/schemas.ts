/** `meterfold schemas list`, and what `meterfold config` says of the meters file. */
import type { Config } from '../config.ts';
import type { Schema } from '../domain/event-schema.ts';
import type { Ask } from './ask.ts';
import type { JsonFlag } from './checks.ts';
import { json, type Streams, table } from './output.ts';
import { loadDeclared } from './product.ts';

interface Listed {
  readonly rules: number;
  readonly schemas: readonly { readonly event_type: string; readonly version: number; readonly properties: Schema }[];
}

/** What is recorded, by event type. */
export async function schemasCommand(flags: JsonFlag, ask: Ask, streams: Streams): Promise<number> {
  const listed = await ask((asker) => asker.get<Listed>('/v1/schemas'));
  const rows = listed.schemas.map((one) => [one.event_type, String(one.version), JSON.stringify(one.properties)]);
  const text = rows.length === 0 ? 'no schemas' : table(['event type', 'version', 'properties'], rows, new Set([1]));
  streams.out(flags.json === true ? json(listed) : text);
  return 0;
}

/** Keys of meters and event types with a schema, where there is a file. Throws BAD_METERS with every fault of it. */
export async function declaredBy(config: Config): Promise<Readonly<Record<string, readonly string[]>>> {
  if (config.metersFile === undefined) return {};
  const { meters = [], schemas = new Map<string, Schema>() } = await loadDeclared(config);
  return { 'metersFile: meters': meters.map(({ key }) => key), 'metersFile: schemas': [...schemas.keys()] };
}
