export const server = { node: 'p', clusterId: '7', startedAt: '1', heardSince: 0, timeline: 1, forkLsn: undefined };

export const at = (sentAt: number, lsn: bigint) => ({ ...server, sentAt, lsn });

export const position = (lsn: bigint, timeline = 1, clusterId = '7') => ({ clusterId, timeline, lsn });
