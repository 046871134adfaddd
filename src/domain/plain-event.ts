/**
 * The short way for what nearly every record is: one flat JSON object of plain ASCII, without an escape, with the fields of an
 * event once each and flat properties in their order. Read in one pass over its text, without an object for it. Anything else is
 * nothing to it, good or bad, and goes the long way (json.ts, event.ts), which alone says what is wrong: the short way never
 * refuses, and never reads other than the long one.
 */
import { checkId, MAX_PROPERTIES_BYTES, type UsageEvent } from './event.ts';
import { readDecimal } from './decimal.ts';
import { parseTime } from './time.ts';

/** An escape, a control character or a byte beyond ASCII: strings have an end and a length that need no second look without them. */
const UNPLAIN = /[\\\0-\x1f\x7f-\xff]/;
/** A number that a double keeps: `keepsDigits` has the bound. JSON knows no leading zeros. */
const NUMBER = /^(?:0|[1-9]\d*)(?:\.\d+)?$/;
const MAX_NUMBER = 15;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;

class Plain {
  readonly #text: string;
  #at = 0;
  #tenant: string | undefined;
  #type: string | undefined;
  #quantity: string | undefined;
  #key: string | undefined;
  #time: string | undefined;
  #subject: string | null | undefined;
  #props: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** Whether the text is one such object, and nothing behind it. */
  read(): boolean {
    if (!this.#takes(OPEN)) return false;
    do {
      const name = this.#string();
      if (name === undefined || !this.#takes(COLON) || !this.#field(name)) return false;
    } while (this.#takes(COMMA));
    return this.#takes(CLOSE) && this.#at === this.#text.length;
  }

  /** Undefined where a field is missing or has a fault. */
  event(): UsageEvent | undefined {
    const [tenant, type, key] = [idOf(this.#tenant), idOf(this.#type), idOf(this.#key)];
    if (tenant === undefined || type === undefined || key === undefined) return undefined;
    const quantity = readDecimal(this.#quantity ?? '');
    const timestamp = parseTime(this.#time ?? '');
    if (typeof quantity === 'string' || quantity < 0n) return undefined;
    if (timestamp === undefined || timestamp < 0 || timestamp >= Number.MAX_SAFE_INTEGER) return undefined;
    const [subject, properties] = [this.#subject ?? null, this.#props ?? '{}'];
    if (properties.length > MAX_PROPERTIES_BYTES || (subject !== null && idOf(subject) === undefined)) return undefined;
    return { tenant, type, quantity, key, timestamp, subject, properties };
  }

  #takes(code: number): boolean {
    if (this.#text.charCodeAt(this.#at) !== code) return false;
    this.#at += 1;
    return true;
  }

  #string(): string | undefined {
    if (this.#text.charCodeAt(this.#at) !== QUOTE) return undefined;
    const end = this.#text.indexOf('"', this.#at + 1);
    if (end < 0) return undefined;
    const found = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return found;
  }

  /** A number, `true`, `false` or `null`: up to what can follow it. */
  #bare(): string {
    const text = this.#text;
    let end = this.#at;
    for (let c = text.charCodeAt(end); end < text.length && c !== COMMA && c !== CLOSE;) c = text.charCodeAt((end += 1));
    const found = text.slice(this.#at, end);
    this.#at = end;
    return found;
  }

  /** False for a field that is not known, is there twice, or holds what the long way has to look at. */
  #field(name: string): boolean {
    switch (name) {
      case 'tenant_id':
        return this.#tenant === undefined && (this.#tenant = this.#string()) !== undefined;
      case 'event_type':
        return this.#type === undefined && (this.#type = this.#string()) !== undefined;
      case 'quantity':
        return this.#quantity === undefined && (this.#quantity = this.#string() ?? this.#number()) !== undefined;
      case 'idempotency_key':
        return this.#key === undefined && (this.#key = this.#string()) !== undefined;
      case 'event_timestamp':
        return this.#time === undefined && (this.#time = this.#string()) !== undefined;
      case 'subject':
        return this.#subject === undefined && (this.#subject = this.#string() ?? this.#null()) !== undefined;
      case 'properties':
        return this.#props === undefined && (this.#props = this.#properties()) !== undefined;
      default:
        return false;
    }
  }

  #null(): null | undefined {
    return this.#bare() === 'null' ? null : undefined;
  }

  #number(): string | undefined {
    const text = this.#bare();
    return text.length <= MAX_NUMBER && NUMBER.test(text) ? text : undefined;
  }

  /** The text of a flat object that is its own canonical form. */
  #properties(): string | undefined {
    const from = this.#at;
    if (!this.#takes(OPEN)) return undefined;
    if (this.#takes(CLOSE)) return '{}';
    let before: string | undefined;
    do {
      const name = this.#string();
      if (name === undefined || isIndex(name) || !this.#takes(COLON)) return undefined;
      if (before !== undefined && name <= before) return undefined;
      if (this.#string() === undefined && !isCanonicalBare(this.#bare())) return undefined;
      before = name;
    } while (this.#takes(COMMA));
    return this.#takes(CLOSE) ? this.#text.slice(from, this.#at) : undefined;
  }
}

/** JavaScript puts names that are array indices first, whatever their order: the long way sorts them anew. */
const isIndex = (name: string): boolean => name.charCodeAt(0) <= 0x39;

const isCanonicalBare = (text: string): boolean =>
  text === 'true' || text === 'false' || (text.length <= MAX_NUMBER && NUMBER.test(text) && String(Number(text)) === text);

const idOf = (value: string | undefined): string | undefined => {
  const checked = value === undefined ? undefined : checkId('', value);
  return typeof checked === 'string' ? checked : undefined;
};

/** The event in the bytes, or undefined where they have to go the long way. */
export function readPlainEvent(bytes: Buffer): UsageEvent | undefined {
  const text = bytes.toString('latin1');
  if (UNPLAIN.test(text)) return undefined;
  const plain = new Plain(text);
  return plain.read() ? plain.event() : undefined;
}
