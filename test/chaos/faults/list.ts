import type { Fault } from '../fault.ts';
import { clusterFaults } from './cluster.ts';
import { kafkaFaults } from './kafka.ts';
import { lossFaults } from './loss.ts';
import { mixedFaults } from './mixed.ts';
import { networkFaults } from './network.ts';
import { postgresFaults } from './postgres.ts';
import { redisFaults } from './redis.ts';
import { roleFaults } from './roles.ts';
import { s3Faults } from './s3.ts';

/** Every row of the table. The seed says in which order they come. */
export const FAULTS: readonly Fault[] = [
  ...roleFaults,
  ...kafkaFaults,
  ...lossFaults,
  ...redisFaults,
  ...postgresFaults,
  ...s3Faults,
  ...networkFaults,
  ...mixedFaults,
  ...clusterFaults,
];
