import type { Fault } from '../fault.ts';
import { kafkaFaults } from './kafka.ts';
import { redisFaults } from './redis.ts';
import { roleFaults } from './roles.ts';

export const FAULTS: readonly Fault[] = [...roleFaults, ...redisFaults, ...kafkaFaults];
