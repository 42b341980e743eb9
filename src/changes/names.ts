/** What stands in the database for the change stream: the installation makes it, the sources look for it. */

/** The publication, where the options name none. */
export const PUBLICATION = 'pg_ladder';
/** The prefix of the logical messages that tell of definitions. */
export const DEFINITIONS_PREFIX = 'pg_ladder.definitions';
/** The event triggers that send them: of what was made or changed, and of what was dropped. */
export const DEFINITION_TRIGGERS = ['pg_ladder_definitions', 'pg_ladder_drops'] as const;
/** What the triggers notify on, and how each of them is called. */
export const CHANGES_CHANNEL = 'pg_ladder_changes';
export const CHANGES_TRIGGER = 'pg_ladder_changes';
/** Each watermark of a process is told there, so that the others know why the log has moved. */
export const WATERMARKS_CHANNEL = 'pg_ladder_watermarks';
/** What they call, in the schema of the installation. */
export const CHANGES_FUNCTION = 'notify_change';
