/**
 * What is missing for the change stream, judged by what a server has: for each finding a sentence, and the
 * exact statement or setting that mends it. It asks nothing and changes nothing.
 */

import { enableTrigger } from './installation.js';
import type { ServerState } from './installation-state.js';
import { DEFINITION_TRIGGERS } from './names.js';
import { quotedIdentifier } from './table-names.js';

/** `error`: the stream does not work, or the application's own writes fail. `warning`: it works, with a cost or a risk. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** What was looked at, such as `wal_level`. */
  readonly check: string;
  readonly what: string;
  /** A statement, or a setting, and what it needs. */
  readonly mend: string;
}

/** A transaction that is older holds up the making of a slot. */
const OLD_TRANSACTION_SECONDS = 5;
const FIRST_WITH_EFFECTIVE_LEVEL = 190_000;
const FIRST_WITH_STANDBY_DECODING = 160_000;

export function serverFindings(state: ServerState): Finding[] {
  return [
    ...ofLevel(state),
    ...ofRole(state),
    ...ofRoom(state),
    ...ofRetention(state),
    ...ofTransactions(state),
    ...ofTriggers(state),
    ...ofStandby(state),
  ];
}

function has(state: ServerState, role: string): boolean {
  return state.serviceRoles.includes(role);
}

function ofLevel(state: ServerState): Finding[] {
  const { version, walLevel, effectiveWalLevel } = state;
  if (walLevel === 'logical' || effectiveWalLevel === 'logical') return [];
  // By the documentation of 19; not run against such a server.
  const risesByItself = version >= FIRST_WITH_EFFECTIVE_LEVEL && walLevel === 'replica';
  if (risesByItself) return [];
  return [
    {
      severity: 'error',
      check: 'wal_level',
      what: `wal_level is ${walLevel}, so the log does not tell which rows have changed`,
      mend: levelSetting(state),
    },
  ];
}

function levelSetting(state: ServerState): string {
  if (has(state, 'rds_superuser')) return 'set rds.logical_replication = 1 in the parameter group, and reboot';
  if (has(state, 'cloudsqlsuperuser')) return 'set the flag cloudsql.logical_decoding = on; it restarts the server';
  if (has(state, 'azure_pg_admin')) return 'set the server parameter wal_level = logical, and restart';
  if (has(state, 'neon_superuser')) return "enable logical replication in the project's settings";
  return "alter system set wal_level = 'logical'; then restart the server";
}

function ofRole(state: ServerState): Finding[] {
  if (state.mayReplicate) return [];
  const role = quotedIdentifier(state.role);
  return [
    {
      severity: 'error',
      check: 'replication',
      what: `the role ${role} may not read the log`,
      mend: has(state, 'rds_superuser') ? `grant rds_replication to ${role}` : `alter role ${role} replication`,
    },
  ];
}

/** Set where the server has no room: a slot and a connection are needed by the one process that reads. */
function ofRoom({ slotsMax, slotCount, sendersMax, senderCount }: ServerState): Finding[] {
  const full = (check: string, max: number, used: number): Finding[] =>
    used < max
      ? []
      : [
          {
            severity: 'error',
            check,
            what: `all ${max} of ${check} are in use`,
            mend: `alter system set ${check} = ${max + 5}; then restart the server`,
          },
        ];
  return [...full('max_replication_slots', slotsMax, slotCount), ...full('max_wal_senders', sendersMax, senderCount)];
}

function ofRetention({ slotKeepSize }: ServerState): Finding[] {
  if (slotKeepSize !== -1) return [];
  return [
    {
      severity: 'warning',
      check: 'max_slot_wal_keep_size',
      what: 'max_slot_wal_keep_size is -1: a slot that stands still keeps the log until the disk is full',
      mend: "alter system set max_slot_wal_keep_size = '10GB'; select pg_reload_conf()",
    },
  ];
}

function ofTransactions(state: ServerState): Finding[] {
  const { oldestWriteSeconds: seconds, oldestWritePid: pid, hiddenWriteCount } = state;
  const warning = (what: string, mend: string): Finding[] => [
    { severity: 'warning', check: 'old_transaction', what, mend },
  ];
  if (seconds !== null && seconds >= OLD_TRANSACTION_SECONDS) {
    return warning(
      `a transaction that has written is open for ${seconds} s: a slot can be made only when it ends`,
      pid === null
        ? 'commit prepared or rollback prepared it (pg_prepared_xacts)'
        : `end it: select pg_terminate_backend(${pid})`,
    );
  }
  if (hiddenWriteCount === 0) return [];
  return warning(
    `how long ${hiddenWriteCount} open transactions have been open is not shown to this role: a slot waits for them`,
    `grant pg_read_all_stats to ${quotedIdentifier(state.role)}, or check as another role`,
  );
}

const WITHOUT_TRIGGERS = 'the catalogue is looked at on a replica instead; without a replica nothing stays current';

function ofTriggers({ triggers, firesEventTriggers, inRecovery }: ServerState): Finding[] {
  const warning = (what: string, mend: string): Finding => ({
    severity: 'warning',
    check: 'event_triggers',
    what,
    mend,
  });
  const missing = DEFINITION_TRIGGERS.filter((name) => triggers[name] === undefined);
  if (missing.length > 0) {
    const where = inRecovery ? ' on the primary' : '';
    return [
      warning(
        `the event trigger ${missing.join(' and ')} is missing: ${WITHOUT_TRIGGERS}`,
        `pg-ladder changes install, as a superuser${where}`,
      ),
    ];
  }
  const off = firesEventTriggers
    ? []
    : [
        warning(
          `event_triggers is off: ${WITHOUT_TRIGGERS}`,
          'alter system set event_triggers = on; select pg_reload_conf()',
        ),
      ];
  const notAlways = DEFINITION_TRIGGERS.filter((name) => triggers[name] !== 'A').map((name) =>
    warning(
      triggers[name] === 'O'
        ? `the event trigger ${name} does not fire with session_replication_role = replica`
        : `the event trigger ${name} is disabled: ${WITHOUT_TRIGGERS}`,
      enableTrigger(name),
    ),
  );
  return [...off, ...notAlways];
}

function ofStandby({ inRecovery, version, standbyFeedback }: ServerState): Finding[] {
  if (!inRecovery) return [];
  if (version < FIRST_WITH_STANDBY_DECODING) {
    return [
      {
        severity: 'error',
        check: 'standby',
        what: 'this server is a standby, and before PostgreSQL 16 a standby cannot tell its log',
        mend: 'take the primary, or upgrade to PostgreSQL 16',
      },
    ];
  }
  if (standbyFeedback) return [];
  return [
    {
      severity: 'error',
      check: 'hot_standby_feedback',
      what: 'hot_standby_feedback is off: the primary may remove what the slot of this standby needs',
      mend: 'alter system set hot_standby_feedback = on; select pg_reload_conf()',
    },
  ];
}
