/** Calls of the scripts that write: what goes into KEYS and ARGV. */
import type { AdvanceRequest, ApplyRequest, FenceState, Position } from '../../contract.ts';
import { formatFence } from './decode.ts';
import { type Epoch, formatEpochs } from './epochs.ts';
import type { Place } from './digests.ts';
import { planOf, planOfKeys } from './plan.ts';
import { Arguments, type ScriptCall } from './request.ts';

/** What the caller believes of a bucket; a script that finds something else writes nothing and says what it found. */
export interface Believed {
  readonly fence: Position | undefined;
  readonly epochs: readonly Epoch[];
}

const numberOr = (value: number | undefined): string => (value === undefined ? '' : String(value));

/** Records below the fence are cropped here; the script demands that the fence is where they were cropped. */
export function applyCall(request: ApplyRequest, believed: Believed, place: Place, slot: number): ScriptCall {
  const { fence = '', epochs } = believed;
  const [first] = request.records;
  const isBehind = first !== undefined && first.position < fence;
  const records = isBehind ? request.records.filter((r) => r.position >= fence) : request.records;
  const plan = planOf(records, request.lineage, place);
  const to: FenceState = { position: request.to, arrival: request.arrival, rules: request.rules };
  const args = new Arguments().text(place.keys.state);
  for (const { key } of plan.groups) args.text(key);
  for (const name of plan.digests.maps) args.plain(name);
  for (const name of plan.digests.names) args.plain(name);
  const keys = args.count;
  args.text(request.lineage).text(request.incarnation).plain(String(request.oldest)).text(fence);
  args.text(request.to > fence ? formatFence(to) : '');
  args.plain(formatEpochs(epochs)).plain(formatEpochs(place.epochs)).bytes(plan.digests.bytes).bytes(plan.packed);
  for (const field of plan.fields) args.text(field);
  return { keys, arguments: args, slot };
}

export function advanceCall(request: AdvanceRequest, believed: Believed, place: Place, slot: number): ScriptCall {
  const { lineage, seen, mint, mark, floor, fence, parents } = request;
  const plan = planOfKeys(request.keys ?? [], place);
  const args = new Arguments().plain(place.keys.state);
  for (const name of plan.digests.maps) args.plain(name);
  for (const name of plan.digests.names) args.plain(name);
  const keys = args.count;
  args
    .text(lineage)
    .text(seen.incarnation ?? '')
    .plain(numberOr(seen.oldest))
    .text(seen.mark ?? '');
  args
    .text(mint.incarnation)
    .plain(String(mint.oldest))
    .text(mark)
    .plain(numberOr(floor))
    .text(believed.fence ?? '');
  const goesOn = fence !== undefined && !((believed.fence ?? '') >= fence.position);
  args.text(goesOn ? formatFence(fence) : '');
  args.plain(formatEpochs(believed.epochs)).plain(formatEpochs(place.epochs));
  args.bytes(plan.digests.bytes).bytes(plan.packed);
  for (const parent of parents) args.text(parent);
  return { keys, arguments: args, slot };
}
