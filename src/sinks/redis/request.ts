/**
 * One call of a script as the bytes that go out. A script takes thousands of keys: the general way of the client, a buffer
 * for each of them, costs more than everything else a batch does.
 */
import { Command } from 'ioredis';

/** KEYS and ARGV of a call. */
export class Arguments {
  #buffer = Buffer.allocUnsafe(1024);
  #at = 0;
  count = 0;

  /** Text that has one byte a character: names of pages, numbers. */
  plain(value: string): this {
    const text = `$${value.length}\r\n${value}\r\n`;
    this.#room(text.length);
    this.#at += this.#buffer.write(text, this.#at, 'latin1');
    this.count += 1;
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value));
  }

  bytes(value: Buffer): this {
    const head = `$${value.length}\r\n`;
    this.#room(head.length + value.length + 2);
    this.#at += this.#buffer.write(head, this.#at, 'latin1');
    this.#at += value.copy(this.#buffer, this.#at);
    this.#at += this.#buffer.write('\r\n', this.#at, 'latin1');
    this.count += 1;
    return this;
  }

  written(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

export interface ScriptCall {
  readonly keys: number;
  readonly arguments: Arguments;
  readonly slot: number;
}

/** EVALSHA or EVAL, written by us and answered with buffers. A client of a Cluster sends it by `slot`. */
export class ScriptCommand extends Command {
  readonly #bytes: Buffer;
  readonly #slot: number;

  constructor(name: 'evalsha' | 'eval', script: string, call: ScriptCall) {
    super(name, [], { replyEncoding: null });
    const head = new Arguments().plain(name).text(script).plain(String(call.keys));
    const count = Buffer.from(`*${head.count + call.arguments.count}\r\n`);
    this.#bytes = Buffer.concat([count, head.written(), call.arguments.written()]);
    this.#slot = call.slot;
  }

  override getSlot(): number {
    return this.#slot;
  }

  override getKeys(): [] {
    return [];
  }

  override toWritable(): Buffer {
    return this.#bytes;
  }
}
