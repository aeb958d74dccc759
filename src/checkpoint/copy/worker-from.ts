/** The number of bytes, over all jobs, below which starting the second thread takes longer than it saves. */
export const WORKER_FROM = 64 * 1024 * 1024;
