-- Users of HTTP Basic for Gatepost (SQLite).
-- Apply with: sqlite3 /var/lib/gatepost/memberships.db < FILE
--
-- `password_hash` is a line that `htpasswd -nB NAME` prints after the colon (bcrypt), or an argon2id hash in
-- PHC form. Gatepost only reads; the query is
--   select password_hash from gatepost_users where name = :name

begin;

create table gatepost_users (
  name text not null primary key check (name <> '' and length(cast(name as blob)) <= 1024),
  password_hash text not null
) strict;

commit;
