/**
 * The number of bytes, over all jobs, below which starting the second thread takes longer than it saves. It is in a file of its own, so
 * that whoever compares with it does not load what starts threads.
 */
export const WORKER_FROM = 64 * 1024 * 1024;
