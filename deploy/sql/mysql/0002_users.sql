-- Users of HTTP Basic for Gatepost (MySQL and MariaDB).
-- Apply with: mariadb DATABASE < FILE    (or: mysql DATABASE < FILE)
--
-- `password_hash` is a line that `htpasswd -nB NAME` prints after the colon (bcrypt), or an argon2id hash in
-- PHC form. Gatepost only reads; the query is
--   select password_hash from gatepost_users where name = :name and octet_length(name) = octet_length(:name)

create table gatepost_users (
  name varchar(255) not null primary key check (name <> ''),
  password_hash varchar(255) not null
) character set utf8mb4 collate utf8mb4_bin;
