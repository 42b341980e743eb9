/** A process that reads the log, and tells when it has begun. It ends when its parent is gone. */
import { LogicalSource } from '../../../src/changes/logical-source.js';
import { Fleet } from '../../../src/nodes/fleet.js';
import { settingsFrom } from '../../../src/options/cluster.js';
import { Publisher } from '../../../src/publisher.js';

const fleet = new Fleet(settingsFrom(process.argv[2] ?? ''), new Publisher('shop'));
fleet.start();
new LogicalSource(fleet, { lock: 7n }).subscribe({
  began: () => process.send?.('began'),
  changed: () => undefined,
  reached: () => undefined,
  broken: (reason) => process.send?.(reason),
});
process.on('disconnect', () => process.exit(0));
