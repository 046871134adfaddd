// Serves the one session of an embedded PostgreSQL to many connections. What pglite-socket does, with one difference: it
// queues single protocol messages, so that statements of two connections can mix (Parse of one, Bind of the other;
// electric-sql/pglite#1046). Here the unit is what ends with Sync or Query: it runs whole, or not at all.
import { createServer } from 'node:net';

const CANCEL = 80877102;
const SSL = 80877103;
const GSS = 80877104;
const [SYNC, QUERY, FLUSH, TERMINATE] = Buffer.from('SQHX');
const [COPY_DATA, COPY_DONE, COPY_FAIL, FUNCTION_CALL] = Buffer.from('dcfF');
/** Not served: they would leave the session in the middle of something. */
const REFUSED = new Set([FLUSH, COPY_DATA, COPY_DONE, COPY_FAIL, FUNCTION_CALL]);

const ROLLBACK = Buffer.concat([Buffer.from([QUERY, 0, 0, 0, 13]), Buffer.from('ROLLBACK\0')]);

/** Cuts what a client sends into units, and gives them to `client`: take(unit), plain() for an offer of TLS, refuse(). */
class Units {
  #client;
  #chunks = [];
  #bytes = 0;
  #scanned = 0;
  /** Nothing can be said before there are so many bytes: a header has 8 at the start-up, 5 behind it. */
  #needed = 8;
  #started = false;

  constructor(client) {
    this.#client = client;
  }

  push(chunk) {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // A long message comes in many chunks: they are put together once it is complete.
    while (this.#bytes >= this.#needed) {
      const buffer = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
      this.#chunks = [buffer];
      if (this.#started) this.#scan(buffer);
      else this.#startUp(buffer);
    }
  }

  #startUp(buffer) {
    const code = buffer.readInt32BE(4);
    const length = buffer.readInt32BE(0);
    if (code === CANCEL) {
      this.#refuse();
    } else if (buffer.length < length) {
      this.#needed = length;
    } else if (code === SSL || code === GSS) {
      this.#cut(buffer, length, 8);
      this.#client.plain();
    } else {
      this.#started = true;
      this.#client.take(this.#cut(buffer, length, 5));
    }
  }

  #scan(buffer) {
    while (buffer.length >= this.#scanned + 5) {
      const at = this.#scanned;
      const type = buffer[at];
      if (type === TERMINATE || REFUSED.has(type)) return this.#refuse();
      const end = at + 1 + buffer.readInt32BE(at + 1);
      this.#needed = end;
      if (buffer.length < end) return;
      if (type === SYNC || type === QUERY) return this.#client.take(this.#cut(buffer, end, 5));
      this.#scanned = end;
    }
    this.#needed = this.#scanned + 5;
  }

  /** Takes what lies before `end` out. */
  #cut(buffer, end, headerBytes) {
    this.#chunks = [buffer.subarray(end)];
    this.#bytes = buffer.length - end;
    this.#scanned = 0;
    this.#needed = headerBytes;
    return buffer.subarray(0, end);
  }

  #refuse() {
    this.#needed = Infinity;
    this.#client.refuse();
  }
}

/**
 * Listens on the Unix socket `path`. While a transaction is open only its own connection is served; one that asks for
 * nothing for `idleMs` is closed and rolled back, because all others wait for it.
 */
export async function serve(db, { path, idleMs, maxConnections }) {
  const sockets = new Set();
  let waiting = [];
  let owner;
  let running = false;
  let idle;

  const next = () => {
    const at = owner === undefined ? 0 : waiting.findIndex(({ socket }) => socket === owner);
    return at < 0 ? undefined : waiting.splice(at, 1)[0];
  };

  const run = async () => {
    if (running) return;
    running = true;
    clearTimeout(idle);
    for (let unit = next(); unit !== undefined; unit = next()) {
      const { socket, bytes } = unit;
      const onRawData = (answer) => {
        // A copy: the answer lies in the database's own memory.
        if (socket.writable) socket.write(Buffer.from(answer));
      };
      await db.runExclusive(() => db.execProtocolRawStream(bytes, { onRawData }));
      owner = db.isInTransaction() ? socket : undefined;
      if (owner?.destroyed === true) waiting.push({ socket, bytes: ROLLBACK });
    }
    running = false;
    if (owner !== undefined) idle = setTimeout((stuck) => stuck.destroy(), idleMs, owner);
  };

  const gone = (socket) => {
    sockets.delete(socket);
    waiting = waiting.filter((unit) => unit.socket !== socket);
    if (owner === socket) waiting.push({ socket, bytes: ROLLBACK });
    return run();
  };

  const server = createServer((socket) => {
    sockets.add(socket);
    const take = (bytes) => {
      waiting.push({ socket, bytes });
      return run();
    };
    const units = new Units({ take, plain: () => socket.write('N'), refuse: () => socket.destroy() });
    socket.on('data', (chunk) => units.push(chunk));
    // What follows an error is `close`.
    socket.on('error', () => {});
    socket.on('close', () => gone(socket));
  });
  server.maxConnections = maxConnections;
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });

  return async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
    clearTimeout(idle);
  };
}
