/** A role's loop: a step again and again, waiting in between, waiting longer while a dependency is down. */
import type { Clock } from '../clock.ts';
import type { Facts } from '../contract.ts';
import { kindOf } from '../errors.ts';
import { backoff } from './backoff.ts';
import type { Wake } from './wake.ts';

export interface RolePorts {
  readonly clock: Clock;
  readonly facts: Facts;
  readonly random: () => number;
}

export interface Role {
  readonly name: string;
  /** Longest wait between two steps, ms. */
  readonly everyMs: number;
  /** Ends the wait early. */
  readonly wake?: Wake;
  step(stop: AbortSignal): Promise<void>;
}

/** Runs until `stop` aborts. Throws what is fatal, once the fact is told. */
export async function runRole(ports: RolePorts, role: Role, stop: AbortSignal): Promise<void> {
  const { clock, facts, random } = ports;
  for (let failures = 0; !stop.aborted;) {
    try {
      await role.step(stop);
      if (failures > 0) facts.recovered(role.name);
      failures = 0;
    } catch (error) {
      if (kindOf(error) !== 'transient') {
        facts.stopped(role.name, error);
        throw error;
      }
      failures += 1;
      facts.waiting(role.name, error);
    }
    const ms = failures > 0 ? backoff(failures, random) : role.everyMs;
    await (role.wake === undefined || failures > 0 ? clock.sleep(ms, stop) : role.wake.wait(ms, stop));
  }
}
