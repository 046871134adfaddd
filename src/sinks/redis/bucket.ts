/** One bucket in Redis. What is remembered of it between calls saves a round trip and decides nothing: scripts compare it. */
import type { Cluster, Redis } from 'ioredis';
import { Command } from 'ioredis';
import type {
  AdvanceRequest,
  ApplyRequest,
  BucketState,
  BucketView,
  RefusedBy,
  Reply as SpeedReply,
  SpeedCell,
} from '../../contract.ts';
import type { CellSelector } from '../../domain/cell.ts';
import { MeterError } from '../../errors.ts';
import { advanceCall, applyCall } from './calls.ts';
import { cellsOf, codeAndSeen, hasHash, numbersOf, type Seen, seenOf, type State, stateOf, textOf } from './decode.ts';
import { bitsFor, type Epoch, FIRST_BITS, parseEpochs, withEpochs } from './epochs.ts';
import { redisFailure } from './failures.ts';
import { BucketKeys, CELL_HASHES, hashOfTenant, type Names } from './keys.ts';
import { keptIn, type Keyed, type Place } from './digests.ts';
import { Arguments, type ScriptCall } from './request.ts';
import { type Operation, type Reply, runScript } from './scripts.ts';

/** Another worker may move a bucket on while a call is under way, and a new epoch begins now and then; not for ever. */
const TRIES = 16;
/** Keys that one command frees. */
const FREED_AT_ONCE = 500;

const refuse = (refused: RefusedBy): SpeedReply => ({ ok: false, refused });
const NOTHING: State = {
  incarnation: undefined,
  fences: new Map(),
  floors: new Map(),
  segments: new Map(),
  hashes: new Map(),
};

export class RedisBucket {
  readonly #redis: Redis | Cluster;
  readonly #bucket: number;
  readonly #keys: BucketKeys;
  readonly #slot: number;
  #epochs: readonly Epoch[] = [];
  #state: State = NOTHING;

  constructor(redis: Redis | Cluster, names: Names, bucket: number) {
    this.#redis = redis;
    this.#bucket = bucket;
    this.#keys = new BucketKeys(names, bucket);
    this.#slot = new Command('get', [this.#keys.state]).getSlot();
  }

  async look(lineage: string): Promise<BucketView> {
    return (await this.#look(lineage)).view;
  }

  async apply(request: ApplyRequest): Promise<SpeedReply> {
    const { lineage, incarnation, oldest, prev } = request;
    let fence = prev;
    for (let n = 0; n < TRIES; n += 1) {
      const believed = { fence, epochs: this.#epochs };
      const place = await this.#place(request.records, incarnation, oldest, believed.epochs);
      const reply = await this.#run('apply', applyCall(request, believed, place, this.#slot));
      const { code, seen } = this.#learn(reply);
      if (code === 'ok') return { ok: true, view: seen.view };
      if (code === 'lost') await this.forget(incarnation);
      if (code === 'incarnation' || code === 'lost') return refuse('incarnation');
      if (seen.view.fence === undefined || seen.view.fence < prev) return refuse('fence');
      if (seen.view.oldest !== oldest) return refuse('oldest');
      fence = seen.view.fence;
    }
    throw this.#busy(`apply ${lineage}`);
  }

  async advance(request: AdvanceRequest): Promise<SpeedReply> {
    const { seen, mint, keys = [] } = request;
    let { fence } = seen;
    for (let n = 0; n < TRIES; n += 1) {
      const believed = { fence, epochs: this.#epochs };
      const [incarnation, oldest] = [seen.incarnation ?? mint.incarnation, seen.oldest ?? mint.oldest];
      const place = await this.#place(keys, incarnation, oldest, believed.epochs);
      const { code, seen: found } = this.#learn(
        await this.#run('advance', advanceCall(request, believed, place, this.#slot)),
      );
      if (code === 'ok') return { ok: true, view: found.view };
      if (code === 'lost') {
        await this.forget(incarnation);
        return refuse('incarnation');
      }
      if (code !== 'look') return refuse(code as RefusedBy);
      ({ fence } = found.view);
    }
    throw this.#busy(`advance ${request.lineage}`);
  }

  async collect(lineage: string, cut: number): Promise<void> {
    const call = new Arguments().plain(this.#keys.state).text(lineage).plain(String(cut));
    const [incarnation, forgotten] = (await this.#run('collect', this.#callOf(call, 1))) as readonly Reply[];
    const list = textOf(forgotten);
    if (list === undefined) return;
    const of = textOf(incarnation) ?? '';
    const names = numbersOf(list).flatMap((segment) => this.#cellHashes(of, lineage, segment));
    await this.#free(names, `y:${lineage}`, list);
  }

  async epochs(): Promise<readonly number[]> {
    const found = await this.#attempt('epochs', () => this.#redis.hget(this.#keys.state, 'e'));
    return parseEpochs(found ?? '').map(({ epoch }) => epoch);
  }

  async dropEpoch(epoch: number, needed: ReadonlyMap<string, number>): Promise<boolean> {
    const call = new Arguments()
      .plain(this.#keys.state)
      .plain(String(epoch))
      .plain(String(epoch + 1));
    for (const [lineage, floor] of needed) call.text(lineage).plain(String(floor));
    const [dropped, incarnation, forgotten] = (await this.#run('drop-epoch', this.#callOf(call, 1))) as readonly Reply[];
    const list = textOf(forgotten);
    if (list !== undefined) {
      const of = textOf(incarnation) ?? '';
      await this.#free(this.#pagesOf(of, list), 'x', list);
    }
    return Number(dropped) === 1;
  }

  /** Again, it frees what one that died has left. */
  async forget(incarnation: string): Promise<void> {
    const left = this.#keys.left(incarnation);
    const call = new Arguments().plain(this.#keys.state).plain(left).text(incarnation);
    const names = this.#namesOf(incarnation, (await this.#run('forget', this.#callOf(call, 2))) as readonly Reply[]);
    for (let at = 0; at < names.length; at += FREED_AT_ONCE)
      await this.#attempt('free', () => this.#redis.unlink(...names.slice(at, at + FREED_AT_ONCE)));
    await this.#attempt('free', () => this.#redis.unlink(left));
  }

  /** All that fields of a state list, forgotten before or not: hashes of cells, pages of digests. */
  #namesOf(incarnation: string, reply: readonly Reply[]): string[] {
    const names: string[] = [];
    for (let at = 0; at < reply.length; at += 2) {
      const [field, list] = [textOf(reply[at]) ?? '', textOf(reply[at + 1]) ?? ''];
      if (/^[sy]:/.test(field))
        for (const segment of numbersOf(list)) names.push(...this.#cellHashes(incarnation, field.slice(2), segment));
      else if (field === 'e' || field === 'x') names.push(...this.#pagesOf(incarnation, list));
    }
    return names;
  }

  /**
   * The segments that were there at the last reply are asked for; were there others by now, it is asked again. A bucket of which
   * Redis let go of a part answers nothing any more: it is emptied, and filled again as after any other loss.
   */
  async read(select: CellSelector): Promise<BucketState> {
    for (let n = 0; n < TRIES; n += 1) {
      // Kept: another reader may learn of more while this one waits.
      const asked = this.#state;
      const hashes = this.#hashesOf(asked, select.tenant);
      const answer = (await this.#run('read', this.#readCall(hashes, select))) as readonly Reply[];
      const state = stateOf(answer[0]);
      this.#state = state;
      if (!isCovered(state, asked)) continue;
      const { incarnation, fences, floors } = state;
      const cells = cellsIn(answer.slice(1), hashes, state);
      if (cells !== undefined) return { bucket: this.#bucket, incarnation, fences, floors, cells };
      if (incarnation !== undefined) await this.forget(incarnation);
    }
    throw this.#busy('read');
  }

  async #look(lineage: string): Promise<Seen> {
    const fields = ['i', 'o', 'e', `f:${lineage}`, `g:${lineage}`, `h:${lineage}`];
    const seen = seenOf(await this.#attempt('look', () => this.#redis.hmgetBuffer(this.#keys.state, ...fields)));
    this.#epochs = seen.epochs;
    return seen;
  }

  /** Where records of these epochs go: epochs that hold nothing yet get their pages by how full the newest one is. */
  async #place(keyed: readonly Keyed[], incarnation: string, oldest: number, known: readonly Epoch[]): Promise<Place> {
    const wanted = new Set(keyed.map(({ epoch }) => keptIn(epoch, oldest)));
    const missing = [...wanted].filter((epoch) => !known.some((one) => one.epoch === epoch));
    const bits = missing.length === 0 ? FIRST_BITS : await this.#bits(known.at(-1));
    return { keys: this.#keys, incarnation, oldest, epochs: withEpochs(known, missing, bits) };
  }

  async #bits(newest: Epoch | undefined): Promise<number> {
    if (newest === undefined) return FIRST_BITS;
    const held = await this.#attempt('look', () => this.#redis.hget(this.#keys.state, `n:${newest.epoch}`));
    return held === null ? FIRST_BITS : bitsFor(Number(held));
  }

  #learn(reply: Reply): { readonly code: string; readonly seen: Seen } {
    const learnt = codeAndSeen(reply);
    this.#epochs = learnt.seen.epochs;
    return learnt;
  }

  #hashesOf({ incarnation, segments }: State, tenant: string | undefined) {
    if (incarnation === undefined) return [];
    const hashes = tenant === undefined ? ALL_HASHES : [hashOfTenant(tenant)];
    return [...segments].flatMap(([lineage, numbers]) =>
      numbers.flatMap((segment) =>
        hashes.map((hash) => ({ lineage, segment, hash, key: this.#keys.cells(incarnation, lineage, segment, hash) })),
      ),
    );
  }

  #readCall(hashes: readonly { readonly key: string }[], { tenant, meter, fromMinute, toMinute }: CellSelector): ScriptCall {
    const args = new Arguments().plain(this.#keys.state);
    for (const { key } of hashes) args.text(key);
    const keys = args.count;
    args.text(tenant ?? '').text(meter ?? '');
    args.plain(fromMinute === undefined ? '' : String(fromMinute)).plain(toMinute === undefined ? '' : String(toMinute));
    return this.#callOf(args, keys);
  }

  #cellHashes(incarnation: string, lineage: string, segment: number): string[] {
    return ALL_HASHES.map((hash) => this.#keys.cells(incarnation, lineage, segment, hash));
  }

  #pagesOf(incarnation: string, list: string): string[] {
    return parseEpochs(list).flatMap(({ epoch, bits }) => [
      this.#keys.map(incarnation, epoch),
      ...Array.from({ length: 2 ** bits }, (_, page) => this.#keys.page(incarnation, epoch, page)),
    ]);
  }

  /** Frees what no script reads any more, in small steps; the list goes last, so that one that died is taken up again. */
  async #free(names: readonly string[], field: string, list: string): Promise<void> {
    for (let at = 0; at < names.length; at += FREED_AT_ONCE)
      await this.#attempt('free', () => this.#redis.unlink(...names.slice(at, at + FREED_AT_ONCE)));
    await this.#run('freed', this.#callOf(new Arguments().plain(this.#keys.state).text(field).text(list), 1));
  }

  #callOf(args: Arguments, keys: number): ScriptCall {
    return { keys, arguments: args, slot: this.#slot };
  }

  #run(operation: Operation, call: ScriptCall): Promise<Reply> {
    return this.#attempt(operation, () => runScript(this.#redis, operation, call));
  }

  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw redisFailure(error, `${what} in bucket ${this.#bucket}`);
    }
  }

  #busy(what: string): MeterError {
    return new MeterError('SPEED_UNAVAILABLE', `redis: ${what} in bucket ${this.#bucket}: it moved on, every time`);
  }
}

const ALL_HASHES = Array.from({ length: CELL_HASHES }, (_, hash) => hash);

interface CellHash {
  readonly lineage: string;
  readonly segment: number;
  readonly hash: number;
}

/** Undefined where one of the hashes is gone. */
function cellsIn(replies: readonly Reply[], hashes: readonly CellHash[], state: State): SpeedCell[] | undefined {
  const cells: SpeedCell[] = [];
  for (const [at, { lineage, segment, hash }] of hashes.entries()) {
    // Forgotten meanwhile, and perhaps not yet freed.
    if (state.segments.get(lineage)?.includes(segment) !== true) continue;
    const reply = replies[at];
    if (reply !== null && reply !== undefined) cells.push(...cellsOf(reply, lineage, segment));
    else if (hasHash(state, lineage, segment, hash)) return undefined;
  }
  return cells;
}

/** Whether all segments of `state` were asked for. */
function isCovered(state: State, asked: State): boolean {
  if (state.segments.size === 0) return true;
  if (state.incarnation !== asked.incarnation) return false;
  return [...state.segments].every(([lineage, segments]) => {
    const known = new Set(asked.segments.get(lineage));
    return segments.every((segment) => known.has(segment));
  });
}
