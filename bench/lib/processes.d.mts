export function cpuMs(pid: number, tid?: string): number;
export function treeCpuMs(pid: number): number;
export function threadsOf(pid: number): string[];
export function childrenOf(pid: number, name?: string): number[];
export function memoryMb(pid: number): { readonly rss: number; readonly peak: number };
