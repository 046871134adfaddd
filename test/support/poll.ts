/** Looks at a condition again and again, until it holds or the deadline of the suite is over. */
export type Until = <T>(what: string, look: () => Promise<T>, isSo?: (found: T) => boolean) => Promise<T>;

/** `isSo` absent: what is looked at must be true. At the deadline what was found last is told. */
export const untilWithin =
  (ms: number): Until =>
  async (what, look, isSo = (found) => found === true) => {
    for (const deadline = Date.now() + ms; ;) {
      const found = await look();
      if (isSo(found)) return found;
      if (Date.now() > deadline) throw new Error(`not in time: ${what}: ${JSON.stringify(found)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
