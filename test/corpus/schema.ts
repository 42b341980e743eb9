/** What the statements of the corpus read, write and call: for the database `postgres` of a fresh cluster, as superuser. */
export const schema: string = `
create extension hstore;
create extension citext;
create extension pg_trgm;

create schema app;
create role corpus_reader;

create type order_state as enum ('new', 'paid', 'shipped');
create type weight_class as enum ('light', 'heavy');
create type money_amount as (amount numeric, currency text);
create type ranked as (n int);

create sequence invoice_numbers;

-- Where all functions that write leave their traces.
create table audit (
  id bigint generated always as identity primary key,
  entry text not null,
  at timestamptz not null default now()
);

-- Functions that are what they say.
create function price_with_tax(price numeric) returns numeric immutable language sql as 'select price * 1.2';
create function double_of(n int) returns int immutable strict parallel safe language plpgsql
  as $$ begin return n * 2; end $$;
create function triple_of(n int) returns int immutable language sql begin atomic select n * 3; end;
create function sum_all(variadic numbers int[]) returns bigint immutable language sql
  as 'select sum(n) from unnest(numbers) as n';
create function roll_dice(sides int) returns int volatile language plpgsql
  as $$ begin return 1 + floor(random() * sides)::int; end $$;
create function audit_size() returns bigint stable language sql as 'select count(*) from audit';

-- Functions that write, and say so.
create function audit_text(entry text) returns text volatile language plpgsql
  as $$ begin insert into audit (entry) values (entry); return entry; end $$;
create function audit_int(n int) returns int volatile language plpgsql
  as $$ begin insert into audit (entry) values (n::text); return n; end $$;
create function audit_bool(what text) returns boolean volatile language plpgsql
  as $$ begin insert into audit (entry) values (coalesce(what, 'nothing')); return true; end $$;
create function audit_series(n int) returns setof int volatile language plpgsql
  as $$ begin insert into audit (entry) values ('series'); return query select generate_series(1, n); end $$;
create function audit_all(variadic entries text[]) returns int volatile language sql
  as $$ insert into audit (entry) select unnest(entries); select 1 $$;
create function audit_atomic(entry text) returns bigint volatile language sql
  begin atomic insert into audit (entry) values (entry) returning id; end;
create function audit_by_delete() returns setof audit volatile language sql
  as 'delete from audit where id < 0 returning *';
create function audit_indirectly(entry text) returns text volatile language sql as 'select audit_text(entry)';

-- Functions that write or belong to the primary, and say that they do not.
create function stable_invoice() returns bigint stable language plpgsql
  as $$ begin return nextval('invoice_numbers'); end $$;
create function immutable_invoice() returns bigint immutable language plpgsql
  as $$ begin return nextval('invoice_numbers'); end $$;
create function stable_sql_invoice() returns bigint stable language sql as $$ select nextval('invoice_numbers') $$;
create function stable_lock() returns boolean stable language plpgsql
  as $$ begin perform pg_advisory_xact_lock(4711); return true; end $$;
create function stable_transaction() returns bigint stable language plpgsql
  as $$ begin return txid_current(); end $$;
create function stable_nested() returns bigint stable language plpgsql
  as $$ begin return stable_invoice() + 1; end $$;
create function stable_dynamic() returns bigint stable language plpgsql as $$
  declare n bigint;
  begin execute 'select next' || 'val(''invoice_numbers'')' into n; return n; end $$;

-- A default is evaluated by whoever calls.
create function greet(who text, note text default audit_text('greeted')) returns text immutable language sql
  as $$ select 'hello ' || who || note $$;

-- One name, several functions.
create function describe_item(n int) returns text immutable language sql as $$ select 'number ' || n $$;
create function describe_item(t text) returns text volatile language plpgsql
  as $$ begin insert into audit (entry) values (t); return t; end $$;
create function describe_item(n int, t text) returns text stable language sql as $$ select t || n $$;
create function public.lower(state order_state) returns text volatile language plpgsql
  as $$ begin insert into audit (entry) values (state::text); return state::text; end $$;
create function app.now() returns timestamptz volatile language plpgsql
  as $$ begin insert into public.audit (entry) values ('now'); return pg_catalog.now(); end $$;
create function app.nextval(name text) returns bigint immutable language sql as 'select 1::bigint';
create function app."Nextval"(name text) returns bigint immutable language sql as 'select 1::bigint';
create function app."select"() returns int volatile language plpgsql
  as $$ begin insert into public.audit (entry) values ('select'); return 1; end $$;

-- Aggregates.
create function audit_add(state int, n int) returns int volatile language plpgsql
  as $$ begin insert into audit (entry) values ('added'); return state + n; end $$;
create aggregate product(numeric) (sfunc = numeric_mul, stype = numeric, initcond = '1');
create aggregate audited_sum(int) (sfunc = audit_add, stype = int, initcond = '0');
create aggregate finally_audited(int) (sfunc = int4pl, stype = int, initcond = '0', finalfunc = audit_int);

-- Operators.
create function distance_of(a int, b int) returns int immutable language sql as 'select abs(a - b)';
create function audited_equal(a int, b int) returns boolean volatile language plpgsql
  as $$ begin insert into audit (entry) values ('compared'); return a = b; end $$;
create function audited_sign(a int) returns int volatile language plpgsql
  as $$ begin insert into audit (entry) values ('signed'); return sign(a)::int; end $$;
create operator <~> (leftarg = int, rightarg = int, function = distance_of);
create operator ==! (leftarg = int, rightarg = int, function = audited_equal);
create operator @!@ (rightarg = int, function = audited_sign);

-- An order whose comparison writes: no operator and no function of it is named where it is used.
create function ranked_lt(a ranked, b ranked) returns boolean immutable language sql as 'select a.n < b.n';
create function ranked_le(a ranked, b ranked) returns boolean immutable language sql as 'select a.n <= b.n';
create function ranked_eq(a ranked, b ranked) returns boolean immutable language sql as 'select a.n = b.n';
create function ranked_ge(a ranked, b ranked) returns boolean immutable language sql as 'select a.n >= b.n';
create function ranked_gt(a ranked, b ranked) returns boolean immutable language sql as 'select a.n > b.n';
create function ranked_compare(a ranked, b ranked) returns int immutable language plpgsql
  as $$ begin perform nextval('public.invoice_numbers'); return sign(a.n - b.n); end $$;
create operator < (leftarg = ranked, rightarg = ranked, function = ranked_lt, commutator = >);
create operator <= (leftarg = ranked, rightarg = ranked, function = ranked_le, commutator = >=);
create operator = (leftarg = ranked, rightarg = ranked, function = ranked_eq, commutator = =);
create operator >= (leftarg = ranked, rightarg = ranked, function = ranked_ge, commutator = <=);
create operator > (leftarg = ranked, rightarg = ranked, function = ranked_gt, commutator = <);
create operator class ranked_order default for type ranked using btree as
  operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 ranked_compare(ranked, ranked);

-- Casts.
create function amount_of(money money_amount) returns numeric immutable language sql as 'select money.amount';
create function audited_weight(weight weight_class) returns int volatile language plpgsql
  as $$ begin insert into audit (entry) values ('cast'); return 1; end $$;
create cast (money_amount as numeric) with function amount_of(money_amount) as implicit;
create cast (weight_class as int) with function audited_weight(weight_class) as implicit;

create table skus (sku text primary key);
insert into skus values ('A-1'), ('B-2'), ('C-3');
create function is_listed(wanted text) returns boolean stable language sql
  as 'select exists (select from public.skus where sku = wanted)';

create domain percent as int check (value between 0 and 100);
create domain listed_sku as text check (is_listed(value));
create domain audited_code as text check (audit_bool(value));
create domain audited_codes as audited_code;

create table customers (
  id serial primary key,
  name text not null,
  email citext unique,
  attributes hstore,
  manager_id int references customers
);
create table products (
  id int generated by default as identity primary key,
  sku listed_sku,
  name text not null,
  price numeric(10, 2) not null,
  discount percent default 0,
  tags text[] not null default '{}',
  details jsonb not null default '{}',
  cost money_amount,
  weight weight_class not null default 'light'
);
create table orders (
  id int generated always as identity primary key,
  customer_id int not null references customers,
  product_id int not null references products,
  quantity int not null default 1,
  state order_state not null default 'new',
  placed_on date not null default current_date,
  number bigint default nextval('invoice_numbers'),
  during tstzrange
);
create index orders_placed_on on orders (placed_on);
create table articles (
  id int primary key,
  title text not null,
  body text not null,
  search tsvector generated always as (to_tsvector('english', title || ' ' || body)) stored
);
create index articles_search on articles using gin (search);
create table events (id int, payload json, at timestamptz not null default now());
create index events_at on events using brin (at);
create table measurements (taken_on date not null, sensor int not null, value double precision) partition by range (taken_on);
create table measurements_2024 partition of measurements for values from ('2024-01-01') to ('2025-01-01');
create table measurements_rest partition of measurements default;
create unlogged table scratch (id int primary key, note text);
create table "Select" ("update" int, "for update" text);
create table grades (grade ranked);

create function order_trigger() returns trigger language plpgsql
  as $$ begin insert into audit (entry) values ('order ' || new.id); return new; end $$;
create trigger orders_audit after insert on orders for each row execute function order_trigger();

insert into customers (name, email, attributes, manager_id) values
  ('Ada', 'ada@example.org', 'vip=>yes', null), ('Bob', 'bob@example.org', 'vip=>no', 1), ('Cy', null, null, 2);
insert into products (sku, name, price, tags, details, cost) values
  ('A-1', 'anvil', 10, '{heavy,iron}', '{"size": {"h": 3}, "colors": ["red", "blue"]}', (5, 'EUR')),
  ('B-2', 'balloon', 1, '{light}', '{"size": {"h": 1}}', (0.1, 'EUR')),
  ('C-3', 'clock', 25, '{}', '{}', null);
insert into orders (customer_id, product_id, quantity, state, placed_on, during) values
  (1, 1, 2, 'new', '2024-02-01', '[2024-02-01,2024-02-03)'), (1, 2, 10, 'paid', '2024-02-02', null),
  (2, 3, 1, 'shipped', '2024-03-01', '[2024-03-01,)'), (3, 1, 4, 'paid', '2024-03-05', null);
insert into articles (id, title, body) values
  (1, 'Ladders', 'A ladder leads up and down'), (2, 'Locks', 'nothing here is for update');
insert into events (id, payload) values (1, '{"kind": "click", "xs": [1, 2]}'), (2, '{"kind": "view"}');
insert into measurements values ('2024-05-01', 1, 20.5), ('2024-05-02', 1, 21.5), ('2020-01-01', 2, 3);
insert into scratch values (1, 'lost');
insert into "Select" values (1, 'insert into');
insert into grades values (row(2)), (row(1)), (row(3));
select lo_from_bytea(424242, 'hello');

create function app.search_products(term text) returns setof public.products volatile language plpgsql
  as $$ begin return query select * from public.products where name ilike '%' || term || '%'; end $$;
create function stable_products() returns setof products stable language sql as 'select * from products';
create function order_total(wanted int) returns numeric stable language plpgsql as $$
  declare total numeric;
  begin
    select sum(o.quantity * p.price) into total from orders o join products p on p.id = o.product_id where o.id = wanted;
    return total;
  end $$;
create function lock_customer(wanted int) returns text volatile language sql
  as 'select name from customers where id = wanted for update';
-- Reads as a column: (customers).nickname
create function nickname(customers) returns text volatile language plpgsql
  as $$ begin insert into public.audit (entry) values ('nickname'); return 'nick'; end $$;
create function initial(customers) returns text immutable language sql as 'select left($1.name, 1)';

create view order_lines as
  select o.id, c.name as customer, p.name as product, o.quantity * p.price as total, o.state
  from orders o join customers c on c.id = o.customer_id join products p on p.id = o.product_id;
create view big_orders as select * from order_lines where total > 15;
create view audited_orders as select id, audit_text('view') as trace from orders;
create view more_audited_orders as select a.id, a.trace from audited_orders a join orders o on o.id = a.id;
create view numbered_products as select nextval('invoice_numbers') as n, name from products;
create view locked_products as select id, name from products for update;
create view scratch_notes as select note from scratch;
create view filtered_orders as select id from orders where audit_bool('where');
create view invoiced as select stable_invoice() as n;
create view invoiced_products as select name, stable_invoice() as n from products;
create view coded as select sku::text::audited_code as code from skus;
create function stable_filtered() returns bigint stable language sql as 'select count(*) from filtered_orders';
create function stable_big_orders() returns bigint stable language sql as 'select count(*) from big_orders';
create materialized view order_totals as select state, count(*) as n from orders group by state;
create unique index on order_totals (state);
create materialized view empty_totals as select state from orders with no data;

-- A superuser passes all policies; a view is read as its owner.
create table quiet_documents (id int primary key, owner text not null);
create table loud_documents (id int primary key, owner text not null);
insert into quiet_documents values (1, 'ada');
insert into loud_documents values (1, 'ada');
alter table quiet_documents enable row level security;
alter table loud_documents enable row level security;
create policy quiet on quiet_documents using (owner <> current_setting('app.hidden', true) or true);
create policy loud on loud_documents using (audit_bool(owner));
grant select, insert on quiet_documents, loud_documents to corpus_reader;
create view quiet_view as select * from quiet_documents;
create view loud_view as select * from loud_documents;
alter view quiet_view owner to corpus_reader;
alter view loud_view owner to corpus_reader;

create procedure archive_orders() language plpgsql
  as $$ begin insert into public.audit (entry) values ('archived'); end $$;
create procedure rest() language plpgsql as $$ begin null; end $$;
create publication corpus_publication for table orders;
create statistics orders_statistics on customer_id, product_id from orders;
`;
