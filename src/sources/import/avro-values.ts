/** Avro values as an import takes them: what a double would change is text, times are ISO 8601. */
import avsc from 'avsc';
import { formatTime } from '../../domain/time.ts';

/** A number where a double keeps it, else its digits. */
const wholeOf = (value: bigint): number | string =>
  value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();

const unwritten = (): never => {
  throw new TypeError('an import writes no Avro');
};
const longType = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => wholeOf(bytes.readBigInt64LE(0)),
  toBuffer: unwritten,
  fromJSON: unwritten,
  toJSON: (value: unknown) => value,
  isValid: () => true,
  compare: unwritten,
});

/** A logical type that is only read. */
abstract class ReadType extends avsc.types.LogicalType {
  protected override _toValue(): never {
    return unwritten();
  }
  protected override _resolve(): undefined {
    return undefined;
  }
}

/** Two's complement, big-endian; the scale moves the point. */
export function decimalText(bytes: Uint8Array, scale: number): string {
  const hex = Buffer.from(bytes).toString('hex');
  const unscaled = hex === '' ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`));
  const sign = unscaled < 0n ? '-' : '';
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  return scale === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

class Decimal extends ReadType {
  readonly #scale: number;
  constructor(schema: avsc.Schema, options?: unknown) {
    super(schema, options);
    const scale = (schema as { readonly scale?: unknown }).scale ?? 0;
    if (typeof scale !== 'number' || !Number.isInteger(scale) || scale < 0 || scale > 1000)
      throw new TypeError(`a decimal of scale ${JSON.stringify(scale)}`);
    this.#scale = scale;
  }
  protected override _fromValue(bytes: unknown): unknown {
    return bytes instanceof Uint8Array ? decimalText(bytes, this.#scale) : bytes;
  }
}

/** Largest time that a Date holds, ms (ECMA-262, 21.4.1.1). */
const MAX_DATE_MS = 8.64e15;
const MICROS_PER_DAY = 86_400_000_000;

/** Microseconds since 1970 as a time; a number that is none stays, and is refused by name. */
const timeOf = (micros: unknown): unknown =>
  typeof micros === 'number' && Math.abs(micros) <= MAX_DATE_MS ? formatTime(micros) : micros;

const scaledTime = (toMicros: (value: number) => number, ending: 'Z' | '' = 'Z'): new (...args: never[]) => ReadType =>
  class extends ReadType {
    protected override _fromValue(value: unknown): unknown {
      const time = timeOf(typeof value === 'number' ? toMicros(value) : value);
      return typeof time === 'string' && ending === '' ? time.replace(/Z$/, '') : time;
    }
  };

const NANOS_PER_MICRO = 1000n;
/** Nanoseconds leave the safe integers: they come as text. Digits beyond microseconds are cut off, as everywhere. */
class Nanos extends ReadType {
  protected override _fromValue(value: unknown): unknown {
    if (typeof value !== 'string' && typeof value !== 'number') return value;
    const nanos = BigInt(value);
    const rest = ((nanos % NANOS_PER_MICRO) + NANOS_PER_MICRO) % NANOS_PER_MICRO;
    return timeOf(Number((nanos - rest) / NANOS_PER_MICRO));
  }
}

class Day extends ReadType {
  protected override _fromValue(days: unknown): unknown {
    const time = timeOf(typeof days === 'number' ? days * MICROS_PER_DAY : days);
    return typeof time === 'string' ? time.slice(0, time.indexOf('T')) : time;
  }
}

const millis = (value: number): number => value * 1000;
const micros = (value: number): number => value;
const LOGICAL = {
  decimal: Decimal,
  date: Day,
  'timestamp-millis': scaledTime(millis),
  'timestamp-micros': scaledTime(micros),
  'timestamp-nanos': Nanos,
  'local-timestamp-millis': scaledTime(millis, ''),
  'local-timestamp-micros': scaledTime(micros, ''),
};

type Hook = (schema: unknown) => avsc.Type | undefined;
type LogicalTypes = Readonly<Record<string, new (schema: avsc.Schema, options?: unknown) => avsc.types.LogicalType>>;

/** Puts our long in the place of every long. avsc asks twice for one that a logical type lies over: first for that type itself. */
function longHook(): Hook {
  const asked = new Set<unknown>();
  return (schema) => {
    if (schema === 'long') return longType;
    const { type, logicalType } = schema as { readonly type?: unknown; readonly logicalType?: unknown };
    if (type !== 'long') return undefined;
    if (typeof logicalType !== 'string' || !Object.hasOwn(LOGICAL, logicalType) || asked.has(schema)) return longType;
    asked.add(schema);
    return undefined;
  };
}

/** The type of a container's records, reading as above. Throws where the schema is none. */
export const readingType = (schema: unknown): avsc.Type =>
  avsc.Type.forSchema(schema as avsc.Schema, {
    registry: {},
    wrapUnions: true,
    noAnonymousTypes: false,
    logicalTypes: LOGICAL as unknown as LogicalTypes,
    typeHook: longHook(),
  });

type Wrapped = Readonly<Record<string, unknown>>;

/** Significant digits that tell any two values of 32 bits apart (IEEE 754 binary32). */
const FLOAT_DIGITS = 9;
/** The shortest number that is this float: 0.1, not 0.10000000149011612. */
function shortest(value: number): number {
  for (let digits = 1; digits < FLOAT_DIGITS; digits += 1) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

/** A value without the wrapping of unions; bytes as hexadecimal digits. */
export function plainValue(type: avsc.Type, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (type instanceof avsc.types.WrappedUnionType) return branchValue(type, value as Wrapped);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (type instanceof avsc.types.FloatType) return shortest(value as number);
  if (type instanceof avsc.types.ArrayType)
    return (value as readonly unknown[]).map((entry) => plainValue(type.itemsType, entry));
  if (type instanceof avsc.types.MapType) return mapped(value as Wrapped, () => type.valuesType as avsc.Type);
  if (type instanceof avsc.types.RecordType) return mapped(value as Wrapped, (name) => type.field(name).type);
  return value;
}

const mapped = (value: Wrapped, typeOf: (name: string) => avsc.Type): Wrapped =>
  Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plainValue(typeOf(name), inner)]));

function branchValue(type: avsc.types.WrappedUnionType, value: Wrapped): unknown {
  const [[name, inner] = ['', null]] = Object.entries(value);
  const branch = type.types.find((one) => one.branchName === name);
  return branch === undefined ? inner : plainValue(branch, inner);
}
