-- Users of HTTP Basic for Gatepost (PostgreSQL).
-- Apply with: psql --single-transaction --set ON_ERROR_STOP=1 --file FILE "$DATABASE_URL"
--
-- `password_hash` is a line that `htpasswd -nB NAME` prints after the colon (bcrypt), or an argon2id hash in
-- PHC form. Gatepost only reads; the query is
--   select password_hash from gatepost_users where name = :name

create table gatepost_users (
  name text not null primary key check (name <> '' and octet_length(name) <= 1024),
  password_hash text not null
);
