/**
 * Kinds of nodes in the grammar's tree, by what they mean to a read. A kind on no list is a write.
 */

const kinds = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** They only compute or read, whatever is in them. */
export const HARMLESS = kinds(`
  SelectStmt ResTarget ColumnRef A_Const A_Expr A_Star A_ArrayExpr A_Indirection A_Indices FuncCall TypeCast TypeName
  SubLink CaseExpr CaseWhen CoalesceExpr MinMaxExpr NullTest BooleanTest BoolExpr RowExpr ParamRef JoinExpr RangeVar
  RangeSubselect RangeFunction RangeTableSample RangeTableFunc RangeTableFuncCol Alias SortBy WindowDef GroupingSet
  GroupingFunc List String Integer Float Boolean BitString CommonTableExpr CTESearchClause CTECycleClause CollateClause
  SQLValueFunction XmlExpr XmlSerialize NamedArgExpr DefElem ColumnDef
`);

/** Statements of a session: meaningless on a pool. */
export const SESSION = kinds(`
  VariableSetStmt TransactionStmt PrepareStmt ExecuteStmt DeallocateStmt DeclareCursorStmt FetchStmt ClosePortalStmt
  ListenStmt UnlistenStmt DiscardStmt LoadStmt ConstraintsSetStmt
`);

/** Statements that write and leave the catalogue as it is. */
export const PLAIN_WRITES = kinds(`
  InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt CallStmt DoStmt NotifyStmt LockStmt CheckPointStmt VacuumStmt
  TruncateStmt RefreshMatViewStmt ReindexStmt ClusterStmt
`);

/** Statements that change a setting of their connection. */
export const SETTING = kinds('VariableSetStmt LoadStmt DiscardStmt');

/** What begins, ends or marks a transaction. */
export const CONTROL = kinds(`
  TRANS_STMT_BEGIN TRANS_STMT_START TRANS_STMT_COMMIT TRANS_STMT_ROLLBACK TRANS_STMT_SAVEPOINT TRANS_STMT_RELEASE
  TRANS_STMT_ROLLBACK_TO
`);

/** They make rows of no declared type. */
export const RECORDS = kinds('RowExpr CTESearchClause CTECycleClause');

/** They stand in FROM without being a relation. */
export const DERIVED = kinds('RangeSubselect RangeFunction RangeTableFunc JsonTable');

/** Functions that read something of their connection, or keep it busy on purpose. */
export const ATTACHED = kinds(`
  current_setting pg_backend_pid pg_show_all_settings inet_client_addr inet_client_port pg_sleep pg_sleep_for
  pg_sleep_until
`);

/** Sampling methods that are built in. */
export const SAMPLING = kinds('bernoulli system');
