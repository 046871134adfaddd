// Mutants: patches to src that break one rule each, named as in the model of the protocol where it has them. A text to
// replace that is not there exactly once fails the suite. `random`: dies under random seeds; `script`: by a written schedule.

const segment = 'src/domain/segment.ts';
const store = 'src/sinks/memory/store.ts';
const speed = 'src/sinks/speed/sink.ts';
const advance = 'src/sinks/speed/advance.ts';
const publish = 'src/batch/publish.ts';
const collect = 'src/batch/collect.ts';
const rebuild = 'src/batch/rebuild.ts';
const beat = 'src/batch/beat.ts';

const patch = (file, find, replace = '') => ({ file, find, replace });
const random = (name, breaks, ...patches) => ({ name, breaks, how: 'random', patches });
const script = (name, breaks, ...patches) => ({ name, breaks, how: 'script', patches });

const noParentInScript = patch(
  store,
  "if (parents.some((parent) => b.fences.get(parent)?.position !== END)) return Promise.resolve(refuse('parent'));",
);
const noOldestInAdvance = patch(store, "if (b.oldest !== seen.oldest) return Promise.resolve(refuse('oldest'));");
const noParentsInPublish = patch(
  'src/batch/publisher.ts',
  'if (!lineage.parents.every((parent) => cuts.get(parent)?.segments === CUT_END)) return 0;',
);

export const MUTANTS = [
  // retention of keys
  random(
    'forget-ahead-of-a-lineage',
    'keys go while a lineage that lags may still bring a copy',
    patch('src/batch/expiry.ts', 'Math.min(...arrivals', 'Math.max(...arrivals'),
  ),
  random(
    'forget-by-the-clock',
    'keys go by the wall clock',
    patch(
      'src/batch/expiry.ts',
      'tables.forgetKeys(settled - keyRetentionMs, limit)',
      'tables.forgetKeys(now - keyRetentionMs, limit)',
    ),
  ),
  random(
    'too-old-by-no-rule',
    'a copy counts whose key is gone',
    patch('src/processors/validate.ts', ' ?? checkKept(event, arrival, kept)'),
  ),
  random(
    'filled-by-the-keys-alone',
    'a version is filled by rows of keys that may be forgotten',
    patch(publish, 'const copies = await tx.copies(lineage.id, row.segment);', 'const copies = undefined;'),
  ),

  // gaps
  random(
    'counted-on-over-a-gap',
    'a worker counts on behind a gap in buckets that have counted what is lost',
    patch(
      speed,
      'return row !== undefined && (await this.#areFolded(family)) ? { row } : undefined;',
      'return row && { row };',
    ),
  ),
  script(
    'read-from-before-a-gap',
    'an answer adds cells of a bucket of before a gap that its snapshot has folded',
    patch('src/serving/merged.ts', 'gapsOf(state.incarnation) < gaps ?', 'gapsOf(state.incarnation) < 0 ?'),
  ),
  script(
    'one-name-for-every-cut',
    'objects of a segment that was cut short at different places have one name',
    patch('src/sinks/archive/keys.ts', "${gap === undefined ? '' : `..${gap.from}`}"),
  ),
  random(
    'bucket-outlives-a-gap',
    'no bucket is forgotten',
    patch(advance, 'if (isOver) await store.forget(bucket, incarnation);'),
  ),
  random(
    'old-rules-behind-a-gap',
    'the rules of before a gap stay in force, though the record that ended them may be lost',
    patch(segment, 'this.#rules = Math.max(this.#rules, rules);'),
  ),
  random(
    'gap-not-in-the-cut',
    'the cut does not say that it has folded a gap',
    patch(publish, 'row.gap === undefined ? cut : { ...cut, gaps: row.gap.number }', 'cut'),
  ),
  random(
    'silent-of-a-gap',
    'an answer names only the gaps that its process has heard of',
    patch('src/serving/gaps.ts', 'if (gapsBelow(cuts) > this.#known.length) await this.look();'),
  ),
  random(
    'gap-is-an-error',
    'a reader that retention has passed stops its lane',
    patch(
      'src/runtime/term.ts',
      "const isTrimmed = (error: unknown): error is MeterError => error instanceof MeterError && error.code === 'LOG_TRIMMED';",
      'const isTrimmed = (error: unknown): error is MeterError => false;',
    ),
  ),

  // restores
  random(
    'restored-under-the-old-names',
    'live counters of behind a backup are read on after it was restored',
    patch(beat, '    await speed.forget(bucket, incarnation);\n'),
    patch(beat, 'beats.renew(unique(), ', 'beats.renew((await beats.last()).incarnation, '),
  ),
  random(
    'put-back-unnoticed',
    'floors above the cuts of a database that was put back are not noticed',
    patch('src/domain/restored.ts', 'if (floor <= cut) return;', 'return;'),
  ),

  // rebuild
  random(
    'flip-without-lock',
    'a publish under way commits into the tables that are gone',
    patch(rebuild, '  await tx.lock();'),
  ),
  random(
    'flip-at-uneven-cuts',
    'the new view takes the place of one that is ahead',
    patch(rebuild, 'return hasCuts && ', 'return '),
  ),
  script(
    'flip-loses-a-filling',
    'a back-fill goes on behind what the new view has',
    patch(rebuild, ' && hasFilled(live.filled, rebuilt)'),
  ),
  random(
    'compare-at-uneven-cuts',
    'views are compared that are not equally far',
    patch(rebuild, 'if (!found.isLevel)', 'if (false)'),
  ),
  script(
    'rebuild-of-the-newest-versions-alone',
    'a version that a reader still knows is left out',
    patch(rebuild, 'new Set([...served, ...(await live.filled()).keys(), ...', 'new Set([...'),
  ),

  // apply
  random('no-prev-check', 'apply accepts a fence that went back', patch(store, ' || fence.position < request.prev')),
  random(
    'check-after-first-write',
    'a refused apply leaves its first write',
    patch(
      store,
      'if (b.incarnation !== request.incarnation)',
      `const first = request.records[0];
    if (first !== undefined && fence !== undefined && first.position >= fence.position && !knows(b, first.digest)) {
      remember(b, first.digest, first.epoch, oldest);
      for (const contribution of first.contributions) addToCell(b, lineage, first.segment, contribution);
    }
    if (b.incarnation !== request.incarnation)`,
    ),
  ),
  random(
    'oldest-not-checked',
    'apply does not compare `oldest`',
    patch(store, "if (b.oldest !== oldest) return Promise.resolve(refuse('oldest'));"),
  ),
  random('no-dedupe', 'apply counts copies', patch(store, ' || knows(b, r.digest)) continue;', ') continue;')),
  random(
    'look-up-ignores-position',
    'any row found in the batch view is a duplicate',
    patch('src/sinks/speed/look-up.ts', ' && !(row.lineage === lineage && row.position === r.record.position)'),
  ),
  random(
    'look-up-without-future-bound',
    'only events before start(oldest) are looked up',
    patch('src/domain/epoch.ts', '(oldest * epochMs + FUTURE_BOUND_MS) * 1000', 'oldest * epochMs * 1000'),
  ),
  // segments
  random(
    'wall-clock-segments',
    'a worker closes segments by its own clock',
    patch(
      segment,
      'if (this.#isOver())',
      'if (this.#isOver() || (this.#records > 0 && (globalThis.mutantTurn = (globalThis.mutantTurn ?? 0) + 1) % 10 === 0))',
    ),
  ),
  random(
    'count-from-min-f',
    "a worker counts segments from min f, not from the segment's start",
    patch(speed, '? { row } : undefined;', '? { row: { ...row, start: least } } : undefined;'),
  ),
  random(
    'segment-limit-from-own-default',
    'workers use the limits they were built with',
    patch(segment, 'const limits = this.#formats.get(this.#format);', 'const limits = [...this.#formats.values()][0];'),
  ),
  random(
    'running-maximum-not-carried',
    'a worker starts the running maximum of arrival anew',
    patch(segment, 'this.#arrival = row.arrival;', 'this.#arrival = 0;'),
  ),
  random(
    'end-leaves-the-open-segment',
    'the last records of a closed lineage are never sealed',
    patch(
      segment,
      'if (this.#records > 0) closed(this.#close(this.#arrival));\n  }\n\n  /**\n   * What lies',
      '}\n\n  /**\n   * What lies',
    ),
  ),
  // versions and spread
  random(
    'version-from-own-configuration',
    'a worker measures by the newest rules it knows, not by those in force at the record',
    patch('src/processors/meter.ts', '= ruleSets.get(rules);', '= ruleSets.newest;'),
  ),
  random(
    'older-announcement-taken',
    'a rules record that announces an older version takes it back',
    patch(segment, 'control.rules > this.#rules', 'control.rules !== this.#rules'),
  ),
  random(
    'rules-in-mid-segment',
    'a rules record does not close its segment, and its two kinds of records meet in one partial',
    patch(segment, 'this.#closing = { format: this.#format, rules: control.rules };', 'this.#rules = control.rules;'),
  ),
  random(
    'filled-before-published',
    'a version is filled with segments that are not published yet, whose winners nobody knows',
    patch('src/batch/backfill.ts', 'if (stop.aborted || row.segment >= cut) return false;'),
  ),
  random(
    'serves-before-filled',
    'a version answers before every lineage is filled',
    patch('src/batch/backfill.ts', 'if (!isWhole) return;'),
  ),
  random(
    'filled-again-what-is-measured',
    'segments that were published with a version are filled into it, too',
    patch('src/batch/backfill.ts', 'if (await isMeasured(ports, row.rules, meter)) return true;'),
    patch(
      'src/batch/publish.ts',
      'const missing = ok.filter(isMissing);',
      'const missing = ok.filter((e) => isMissing(e) || true);',
    ),
    patch(
      'src/batch/publish.ts',
      'await tx.writePartials(lineage.id, row.segment, cells, []);',
      'await tx.writePartials(lineage.id, row.segment + 1_000_000, cells, []);',
    ),
  ),
  script(
    'dropped-version-answers',
    'a reader that has not heard of newer rules answers a version that they let go',
    patch('src/serving/query.ts', 'if (rules.version > known.version) demandMeasured(meter, rules);'),
  ),
  random(
    'spread-ignored',
    'a worker judges the home of a record without the spread',
    patch('src/processors/validate.ts', 'routingKeyOf(event, inForce.spread)', 'routingKeyOf(event, new Map())'),
  ),
  random(
    'buckets-without-spread',
    'a reader asks one bucket of a tenant that is spread',
    patch(
      'src/serving/query.ts',
      'bucketsOfTenant(tenant, this.#ports.buckets, spread)',
      'bucketsOfTenant(tenant, this.#ports.buckets, new Map())',
    ),
  ),
  // start, advance, collect
  random(
    'row-before-head',
    'open looks the row of its fence up before the head, and takes the head where there was none (a defect that the simulation found)',
    patch(speed, 'if (head.start <= position) return head;'),
    patch(
      speed,
      "throw new MeterError('ARCHIVE_MISSING', `open ${lineage.id} at ${position}: no manifest row holds it`);",
      'return this.#ports.catalog.head(lineage);',
    ),
  ),
  random(
    'no-parent-order',
    'a child starts and publishes before its parents are at END',
    noParentInScript,
    noParentsInPublish,
    patch(speed, 'if (!(await this.#parentsAtEnd(lineage))) return undefined;'),
  ),
  script('publish-before-parents', 'a child is published before its parents', noParentsInPublish),
  script(
    'parents-checked-outside',
    "open checks the parents, the script that writes the child's fence does not",
    noParentInScript,
  ),
  random(
    'no-keys-in-advance',
    'advance loads no keys',
    patch(advance, 'if (!(await loadKeys(ports, lineage, cut, behind, mint))) return undefined;'),
  ),
  random(
    'unchained-advance',
    'a chunk of advance does not check that its predecessor is still there',
    noOldestInAdvance,
    patch(store, "if (b.marks.get(lineage) !== seen.mark) return Promise.resolve(refuse('mark'));"),
  ),
  random(
    'no-ancestor-floor',
    'advance is not called for ancestors',
    noParentInScript,
    patch(speed, '[...ancestorsOf(lineage, all), lineage]', '[lineage]'),
  ),
  random(
    'fence-first-advance',
    'advance writes the fence before keys and floor',
    patch(
      advance,
      '{ floor: cut.segments })',
      '{ fence: { position: fencePosition(cut), arrival: cut.arrival, rules: cut.rules } })',
    ),
    patch(advance, 'behind, mint, { fence })', 'behind, mint, { floor: cut.segments })'),
  ),
  random('advance-without-floor', 'advance raises no floor', patch(advance, '{ floor: cut.segments })', '{})')),
  script(
    'oldest-after-loss-by-age-only',
    'an empty bucket gets `oldest` from the clock, whatever is unpublished',
    patch('src/sinks/speed/history.ts', 'for (const head of heads) {', 'for (const head of heads.slice(heads.length)) {'),
  ),
  random(
    'epochs-dropped-by-age-only',
    'the collector drops an epoch whatever the floors are',
    patch(
      store,
      'for (const [lineage, floor] of needed) if ((b.floors.get(lineage) ?? 0) < floor) return Promise.resolve(false);',
    ),
    patch(collect, 'if (heads.some((head) => !head.ended && epochOf(head.arrival, ports.epochMs) <= epoch)) return false;'),
  ),
  script(
    'no-newer-epochs-needed',
    'the collector does not wait for two newer epochs',
    patch(store, 'if (newer < 2) return Promise.resolve(false);'),
    patch(collect, 'held.at(-1 - KEPT_EPOCHS)', 'held.at(-1)'),
  ),
  random(
    'collect-without-floor',
    'the collector deletes cells and raises no floor',
    patch(store, 'b.floors.set(lineage, cut);'),
  ),
  // the way in
  random(
    'misrouted-counted-where-they-lie',
    'no MISROUTED verdict',
    patch(
      'src/processors/validate.ts',
      'if (!lineage.owns(routingKeyOf(event, inForce.spread)))',
      'if (routingKeyOf(event, inForce.spread) === undefined)',
    ),
  ),
  random(
    'misrouted-stay-away',
    'sealing writes no outbox rows',
    patch(
      'src/sinks/archive/sink.ts',
      'placed.flatMap(misroutedOf(this.#ports.ruleSets))',
      'placed.slice(placed.length).flatMap(misroutedOf(this.#ports.ruleSets))',
    ),
  ),
  random(
    'settled-before-sent',
    'the relay settles the outbox before the log has acknowledged',
    patch(
      'src/batch/relay.ts',
      'const outcomes = await producer.append(rows);',
      'await catalog.settle(rows.map((row) => row.id));\n  const outcomes = await producer.append(rows);',
    ),
  ),
  // publish and read
  random(
    'recompute-without-lock',
    'publish does not lock rollup rows',
    patch(publish, 'await tx.lockRollups(cells, hours);'),
  ),
  random(
    'recompute-before-lock',
    'publish recomputes before it has the locks',
    patch(
      publish,
      'await tx.lockRollups(cells, hours);\n  await tx.recomputeRollups(cells, hours);',
      'await tx.recomputeRollups(cells, hours);\n  await tx.lockRollups(cells, hours);',
    ),
  ),
  script(
    'rows-locked-in-any-order',
    'publish locks rollup rows in the order of the log',
    patch('src/domain/cell.ts', '[...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map', '[...sums].map'),
  ),
  random(
    'winners-by-key',
    'publish takes every event whose key has a row as a winner',
    patch(publish, ' && row.lineage === id && row.position === position'),
  ),
  random(
    'cut-outside-the-transaction',
    'the cut is raised in a transaction of its own, before the fold',
    patch(
      publish,
      'return ports.batch.transaction((tx) => fold(',
      'const cut = { segments: row.segment + 1, position: row.end, arrival: row.endArrival, rules: row.rules };\n  await ports.batch.transaction((tx) => tx.raiseCut(lineage.id, cut));\n  return ports.batch.transaction((tx) => fold(',
    ),
  ),
  random(
    'conflicts-forgotten',
    'publish writes no rejects',
    patch(publish, 'await tx.writeRejects(conflicts(lineage.id, ok, firsts, inserted, held, ports.ruleSets));'),
  ),
  random(
    'reader-counts-the-cut-twice',
    'the reader adds live cells of the last folded segment',
    patch(
      'src/serving/merged.ts',
      'cell.segment >= (cuts.get(cell.lineage)?.segments ?? 0)',
      'cell.segment + 1 >= (cuts.get(cell.lineage)?.segments ?? 0)',
    ),
  ),
  random(
    'reader-ignores-floor',
    'the reader does not compare floors with its cuts',
    patch('src/serving/merged.ts', 'if (states !== undefined && isBehind(states, cuts)) continue;'),
  ),
];

/**
 * Second lines of defence: without one of these alone the other rules held in every schedule tried. A record below the
 * fence whose digest is gone lies in a segment below the floor, which no reader adds; and partials stay as they were first
 * written, so that publishing again with fewer winners changes nothing. The keys of an
 * advance are chosen by the `oldest` that its first chunk left, and the mark of that chunk is gone with whatever is lost.
 */
export const SPARE = [
  random(
    'forget-without-margin',
    "keys go as if brokers' clocks were one",
    patch('src/batch/expiry.ts', ' - epochMs - FUTURE_BOUND_MS', ''),
  ),
  random('advance-without-oldest', 'advance does not carry the `oldest` that its keys were chosen by', noOldestInAdvance),
  random(
    'crop-by-digest-only',
    'apply does not crop below the fence',
    patch(store, 'if (r.position < fence.position || knows(b, r.digest)) continue;', 'if (knows(b, r.digest)) continue;'),
  ),
  random(
    'winners-from-returning',
    'publish takes the rows that its own INSERT returned as winners, and is retried',
    patch(publish, 'inserted.has(e.position) || holds(held, lineage, e);', 'inserted.has(e.position);'),
  ),
];
