/** A client on librdkafka. */
import { machineTool } from './machine.ts';

export const kcat = machineTool('kcat', { version: '-V' });
