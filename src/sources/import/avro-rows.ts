/** Rows of an Avro object container, a block at a time. Apache Avro 1.12 specification, "Object Container Files". */
import { createReadStream } from 'node:fs';
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import avsc from 'avsc';
import { asError } from '../../errors.ts';
import { plainValue, readingType } from './avro-values.ts';
import { asBadFile, badFile } from './kind.ts';
import { demandColumns, type Row, type RowFile, type Wanted } from './row.ts';

const MAGIC_BYTES = 4;
const SYNC_BYTES = 16;
/** Writers make blocks of 16 KB to some MB: a larger one is damage, and would not fit into memory. */
const MAX_BLOCK_BYTES = 256 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

const sync = { type: 'fixed', name: 'Sync', size: SYNC_BYTES } as const;
const metaType = avsc.Type.forSchema({ type: 'map', values: 'bytes' });
const syncType = avsc.Type.forSchema(sync);
const longType = avsc.Type.forSchema('long');

type Inflate = (bytes: Buffer) => Promise<Buffer>;

/** Bytes of a file, taken value by value; more are read where a value is not whole yet. */
class Bytes {
  readonly #chunks: AsyncIterator<Buffer>;
  #held: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async isEnd(): Promise<boolean> {
    return this.#held.length === 0 && !(await this.#more(1));
  }

  /** Throws RangeError where the file ends before. */
  async take(length: number): Promise<Buffer> {
    while (this.#held.length < length) if (!(await this.#more(length))) throw new RangeError('the file breaks off');
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  async value(type: avsc.Type): Promise<unknown> {
    for (;;) {
      const { value, offset } = type.decode(this.#held, 0) as { readonly value: unknown; readonly offset: number };
      // avsc says by a negative offset that the value is not whole.
      if (offset >= 0) {
        this.#held = this.#held.subarray(offset);
        return value;
      }
      if (this.#held.length > MAX_BLOCK_BYTES || !(await this.#more(this.#held.length + 1)))
        throw new RangeError('the file breaks off');
    }
  }

  /** Reads until `length` bytes are held, or the end. Answers whether anything came. */
  async #more(length: number): Promise<boolean> {
    const parts = [this.#held];
    let held = this.#held.length;
    const before = held;
    while (!this.#isOver && held < length) {
      const { value, done } = (await this.#chunks.next()) as IteratorResult<Buffer, undefined>;
      this.#isOver = done === true;
      if (value === undefined) break;
      parts.push(value);
      held += value.length;
    }
    this.#held = Buffer.concat(parts);
    return held > before;
  }
}

const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw);

async function unsnap(bytes: Buffer): Promise<Buffer> {
  const { uncompress } = await import('snappy');
  const plain = await uncompress(bytes.subarray(0, -4));
  const found = Buffer.from(plain);
  if (crc32(found) !== bytes.readUInt32BE(bytes.length - 4)) throw new RangeError('the checksum of a block is wrong');
  return found;
}

const CODECS: ReadonlyMap<string, Inflate> = new Map([
  ['null', (bytes) => Promise.resolve(bytes)],
  ['deflate', (bytes) => inflate(bytes, { maxOutputLength: MAX_BLOCK_BYTES })],
  ['snappy', unsnap],
]);

interface Container {
  readonly type: avsc.types.RecordType;
  readonly decode: Inflate;
  readonly sync: Buffer;
}

async function readHeader(path: string, bytes: Bytes): Promise<Container> {
  await bytes.take(MAGIC_BYTES);
  const meta = (await bytes.value(metaType)) as Readonly<Record<string, Buffer | undefined>>;
  const marker = (await bytes.value(syncType)) as Buffer;
  const codec = meta['avro.codec']?.toString() ?? 'null';
  const decode = CODECS.get(codec);
  if (decode === undefined) throw badFile(path, `its codec is ${codec}; known: ${[...CODECS.keys()].join(', ')}`);
  const type = readingType(JSON.parse(meta['avro.schema']?.toString() ?? ''));
  if (!(type instanceof avsc.types.RecordType)) throw badFile(path, 'its schema is no record');
  return { type, decode, sync: marker };
}

/** The bytes of the next block and how many records they are. */
async function readBlock(bytes: Bytes, { decode, sync: marker }: Container): Promise<{ body: Buffer; count: number }> {
  const count = (await bytes.value(longType)) as number;
  const length = (await bytes.value(longType)) as number;
  if (count < 0 || length < 0 || length > MAX_BLOCK_BYTES) throw new RangeError(`a block of ${length} bytes`);
  const body = await decode(await bytes.take(length));
  if (!(await bytes.take(SYNC_BYTES)).equals(marker)) throw new RangeError('the marker behind a block is another');
  // A record with a time in it has bytes: a count beyond them would go on for ever.
  if (count > body.length) throw new RangeError(`a block of ${count} records in ${body.length} bytes`);
  return { body, count };
}

function* recordsOf({ type }: Container, body: Buffer, count: number, columns: readonly string[]): Generator<Row['values']> {
  let at = 0;
  for (let n = 0; n < count; n += 1) {
    const read = type.decode(body, at) as { readonly value: Readonly<Record<string, unknown>>; readonly offset: number };
    if (read.offset < 0) throw new RangeError('a record of a block breaks off');
    at = read.offset;
    yield Object.fromEntries(columns.map((name) => [name, plainValue(type.field(name).type, read.value[name])]));
  }
  if (at !== body.length) throw new RangeError('a block holds more bytes than its records');
}

export function avroRows(path: string, bytes: number, wanted: Wanted): RowFile {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  return { bytes, read: () => file.bytesRead, rows: rowsOf(path, file, wanted) };
}

async function* rowsOf(path: string, file: AsyncIterable<Buffer>, { columns }: Wanted): AsyncGenerator<Row> {
  const bytes = new Bytes(file);
  let row = 0;
  try {
    const container = await readHeader(path, bytes);
    demandColumns(
      path,
      columns,
      container.type.fields.map(({ name }) => name),
    );
    while (!(await bytes.isEnd())) {
      const { body, count } = await readBlock(bytes, container);
      for (const values of recordsOf(container, body, count, columns)) {
        row += 1;
        yield { row, values };
      }
    }
  } catch (cause) {
    throw asBadFile(path, asError(cause), ` (after row ${row})`);
  }
}
