/** METERFOLD_TEST_PROMTOOL, else that of the machine. */
import { machineTool } from './machine.ts';

const { METERFOLD_TEST_PROMTOOL: at } = process.env;

export const promtool = machineTool('promtool', { at, packaged: 'prometheus', version: '--version' });
