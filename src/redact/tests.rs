use super::*;

fn usual() -> Redactor {
    Redactor::new(None).unwrap()
}

/// A command line in the words of a shell, and what is shown of it.
fn shown(rules: &Redactor, line: &str) -> String {
    let argv = shlex::split(line).unwrap();
    let argv = rules.argv(&argv).map_or(argv, |redacted| redacted.argv);
    argv.join(" ")
}

#[test]
fn real_command_lines_lose_their_credentials() {
    let rules = usual();
    // S3cretX stands for every credential, and must not be left anywhere.
    let table: &[(&str, &str)] = &[
        ("app --password S3cretX run", "app --password [redacted] run"),
        ("app --password=S3cretX run", "app --password=[redacted] run"),
        ("app --password='S3cretX with spaces, and=more' run", "app --password=[redacted] run"),
        ("app --db-password S3cretX", "app --db-password [redacted]"),
        ("app -password S3cretX", "app -password [redacted]"),
        ("app --passphrase S3cretX", "app --passphrase [redacted]"),
        ("app --token S3cretX", "app --token [redacted]"),
        ("app --auth-token -S3cretX-base64url", "app --auth-token [redacted]"),
        ("app --secret S3cretX", "app --secret [redacted]"),
        ("app --client-secret=S3cretX", "app --client-secret=[redacted]"),
        ("app --clientSecret S3cretX", "app --clientSecret [redacted]"),
        ("app --api-key S3cretX", "app --api-key [redacted]"),
        ("app --apikey=S3cretX", "app --apikey=[redacted]"),
        ("app --access-key-id AKIAIOSFODNN7EXAMPLE", "app --access-key-id [redacted]"),
        ("mysql -uroot -pS3cretX db", "mysql -uroot -p[redacted] db"),
        ("mysql --password=S3cretX db", "mysql --password=[redacted] db"),
        (
            "/usr/bin/mysqldump -u root -pS3cretX --all-databases",
            "/usr/bin/mysqldump -u root -p[redacted] --all-databases",
        ),
        ("sudo -u app mysql -pS3cretX", "sudo -u app mysql -p[redacted]"),
        ("sshpass -p S3cretX ssh -p 22 host", "sshpass -p [redacted] ssh -p 22 host"),
        ("sshpass -pS3cretX scp a b", "sshpass -p[redacted] scp a b"),
        ("curl -u user:S3cretX https://example.com", "curl -u user:[redacted] https://example.com"),
        ("curl -uuser:S3cretX https://example.com", "curl -uuser:[redacted] https://example.com"),
        ("curl -su user:S3cretX https://example.com", "curl -su user:[redacted] https://example.com"),
        ("curl --user=user:S3cretX https://example.com", "curl --user=user:[redacted] https://example.com"),
        (
            "curl -H 'Authorization: Bearer S3cretX' https://example.com",
            "curl -H Authorization: Bearer [redacted] https://example.com",
        ),
        ("curl -H 'authorization: Basic S3cretX=='", "curl -H authorization: Basic [redacted]"),
        ("curl -HAuthorization:S3cretX", "curl -HAuthorization:[redacted]"),
        ("curl -H 'Authorization: S3cretX'", "curl -H Authorization: [redacted]"),
        ("curl '--header=Authorization: token S3cretX'", "curl --header=Authorization: token [redacted]"),
        ("curl -H 'X-Api-Key: S3cretX'", "curl -H X-Api-Key: [redacted]"),
        ("curl -H 'PRIVATE-TOKEN: S3cretX'", "curl -H PRIVATE-TOKEN: [redacted]"),
        ("curl -H 'Cookie: session=S3cretX; id=S3cretX'", "curl -H Cookie: [redacted]"),
        (
            "curl -d '{\"user\": \"me\", \"password\": \"S3cretX\"}' h",
            "curl -d {\"user\": \"me\", \"password\": \"[redacted]\"} h",
        ),
        ("curl -d '{\"apiKey\":\"S3cretX\",\"n\":1}' h", "curl -d {\"apiKey\":\"[redacted]\",\"n\":1} h"),
        (
            "curl 'https://api.example.com/v1?token=S3cretX&page=2'",
            "curl https://api.example.com/v1?token=[redacted]&page=2",
        ),
        (
            "curl 'https://api.example.com/v1?page=2&api_key=S3cretX'",
            "curl https://api.example.com/v1?page=2&api_key=[redacted]",
        ),
        (
            "git clone https://user:S3cretX@example.com/r.git",
            "git clone https://user:[redacted]@example.com/r.git",
        ),
        (
            "git clone https://S3cretXS3cretXS3cretX@example.com/r.git",
            "git clone https://[redacted]@example.com/r.git",
        ),
        (
            "app --dsn postgres://u:S3cretX@db:5432/x?sslmode=on",
            "app --dsn postgres://u:[redacted]@db:5432/x?sslmode=on",
        ),
        ("app redis://:S3cretX@cache:6379/0", "app redis://:[redacted]@cache:6379/0"),
        ("app postgres://u:S3cretX@S3cretX@db/x", "app postgres://u:[redacted]@db/x"),
        ("app amqp://u:/S3cretX@mq/vhost", "app amqp://u:[redacted]@mq/vhost"),
        ("app amqp://u:S3cret/X@mq/vhost", "app amqp://u:[redacted]@mq/vhost"),
        ("env PGPASSWORD=S3cretX psql -h db", "env PGPASSWORD=[redacted] psql -h db"),
        ("env AWS_SECRET_ACCESS_KEY=S3cretX/abc aws s3 ls", "env AWS_SECRET_ACCESS_KEY=[redacted] aws s3 ls"),
        ("env AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE aws", "env AWS_ACCESS_KEY_ID=[redacted] aws"),
        ("env AWS_SESSION_TOKEN=S3cretX aws", "env AWS_SESSION_TOKEN=[redacted] aws"),
        ("env GITHUB_TOKEN_PROD=S3cretX gh", "env GITHUB_TOKEN_PROD=[redacted] gh"),
        ("env 'DB_PASSWORD=S3cretX two words' app", "env DB_PASSWORD=[redacted] app"),
        (
            "env STRIPE_KEY=S3cretX SECRET_KEY_BASE=S3cretX MYSQL_PWD=S3cretX app",
            "env STRIPE_KEY=[redacted] SECRET_KEY_BASE=[redacted] MYSQL_PWD=[redacted] app",
        ),
        ("docker run -e DB_PASS=S3cretX -p 80:80 app", "docker run -e DB_PASS=[redacted] -p 80:80 app"),
        ("docker login -u me -p S3cretX registry", "docker login -u me -p [redacted] registry"),
        (
            "java -Dspring.datasource.password=S3cretX -jar a.jar",
            "java -Dspring.datasource.password=[redacted] -jar a.jar",
        ),
        (
            "kubectl create secret generic x --from-literal=password=S3cretX",
            "kubectl create secret generic x --from-literal=password=[redacted]",
        ),
        ("helm upgrade r c --set db.password=S3cretX", "helm upgrade r c --set db.password=[redacted]"),
        ("psql 'host=db password=S3cretX dbname=x'", "psql host=db password=[redacted] dbname=x"),
        (
            "psql 'host=db password=\"S3cretX S3cretX\" dbname=x'",
            "psql host=db password=\"[redacted]\" dbname=x",
        ),
        (
            "app 'Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=S3cretX=;EntityPath=p'",
            "app Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=[redacted];EntityPath=p",
        ),
        (
            "sh -c 'mysql -pS3cretX db; PGPASSWORD=S3cretX psql'",
            "sh -c mysql -p[redacted] db; PGPASSWORD=[redacted] psql",
        ),
        (
            "bash -lc 'app --password \"S3cretX S3cretX\" --verbose'",
            "bash -lc app --password \"[redacted]\" --verbose",
        ),
        (
            "sh -c 'curl -H \"Authorization: Bearer S3cretX\" https://h'",
            "sh -c curl -H \"Authorization: Bearer [redacted]\" https://h",
        ),
        ("sh -c 'TOKEN=S3cretX exec app'", "sh -c TOKEN=[redacted] exec app"),
        ("openssl rsa -in k.pem -passin pass:S3cretX", "openssl rsa -in k.pem -passin pass:[redacted]"),
        ("redis-cli -h c -a S3cretX ping", "redis-cli -h c -a [redacted] ping"),
        ("ldapsearch -D cn=admin -w S3cretX", "ldapsearch -D cn=admin -w [redacted]"),
        ("smbclient -U 'me%S3cretX' //h/s", "smbclient -U me%[redacted] //h/s"),
        ("keytool -storepass S3cretX -list", "keytool -storepass [redacted] -list"),
        ("nmcli dev wifi connect home password S3cretX", "nmcli dev wifi connect home password [redacted]"),
        ("app ghp_0123456789abcdefghijABCDEFGHIJ012345", "app [redacted]"),
        ("app --x=ghp_0123456789abcdefghijABCDEFGHIJ012345", "app --x=[redacted]"),
        ("app github_pat_11ABCDEFG0123456789_abcdefghijklmnop", "app [redacted]"),
        ("app xoxb-123456789012-abcdefGHIJKL", "app [redacted]"),
        ("app https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXX", "app https://[redacted]"),
        ("app eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "app [redacted]"),
        ("app glpat-ABCDEFGHIJKLMNOPQRST", "app [redacted]"),
        ("app sk_live_4eC39HqLyjWDarjtT1zdp7dc", "app [redacted]"),
        (
            "app '-----BEGIN RSA PRIVATE KEY-----\nS3cretX\n-----END RSA PRIVATE KEY-----\nrest'",
            "app [redacted]\nrest",
        ),
        ("app --cert-key '-----BEGIN PRIVATE KEY-----\nS3cretX'", "app --cert-key [redacted]"),
    ];
    for (line, want) in table {
        assert_eq!(shown(&rules, line), *want, "{line}");
        assert!(!want.contains("S3cretX"), "{want}");
    }
}

#[test]
fn a_credential_without_a_flag_is_found_by_its_place() {
    let rules = usual();
    for (line, want) in [
        ("htpasswd -b /etc/f user S3cretX", "htpasswd -b /etc/f user [redacted]"),
        ("htpasswd -cbB -C 10 /etc/f user S3cretX", "htpasswd -cbB -C 10 /etc/f user [redacted]"),
        ("htpasswd -bBC 10 /etc/f user S3:cret=X", "htpasswd -bBC 10 /etc/f user [redacted]"),
        ("htpasswd -nb user S3cretX", "htpasswd -nb user [redacted]"),
        ("/usr/bin/htpasswd -n -b user 'S3 cret X'", "/usr/bin/htpasswd -n -b user [redacted]"),
        ("sudo htpasswd -b f mysql S3cretX", "sudo htpasswd -b f mysql [redacted]"),
        ("sh -c 'htpasswd -b f user S3cretX; echo done'", "sh -c htpasswd -b f user [redacted]; echo done"),
        ("mosquitto_passwd -b f user S3cretX", "mosquitto_passwd -b f user [redacted]"),
        ("openssl passwd -6 -salt xy S3cretX", "openssl passwd -6 -salt xy [redacted]"),
        ("openssl rsa -passin pass:S3cretX -in k", "openssl rsa -passin pass:[redacted] -in k"),
        ("mkpasswd -m sha-512 S3cretX", "mkpasswd -m sha-512 [redacted]"),
        ("wpa_passphrase home S3cretX", "wpa_passphrase home [redacted]"),
        ("rabbitmqctl -n node add_user me S3cretX", "rabbitmqctl -n node add_user me [redacted]"),
        ("smbclient //host/share S3cretX -U me", "smbclient //host/share [redacted] -U me"),
        ("smbclient -U me%S3cretX //host/share -c ls", "smbclient -U me%[redacted] //host/share -c ls"),
        ("mysqladmin -u root password S3cretX", "mysqladmin -u root password [redacted]"),
        ("redis-cli -h db AUTH S3cretX", "redis-cli -h db AUTH [redacted]"),
        ("xfreerdp /u:me /p:S3cretX /v:host", "xfreerdp /u:me /p:[redacted] /v:host"),
        ("unrar x -pS3cretX a.rar", "unrar x -p[redacted] a.rar"),
        ("ldappasswd -D cn=me -w S3cretX -s S3cretX", "ldappasswd -D cn=me -w [redacted] -s [redacted]"),
        // Where it is asked for, there is none.
        ("htpasswd -c /etc/f user", "htpasswd -c /etc/f user"),
        ("htpasswd -n user", "htpasswd -n user"),
        ("htpasswd /etc/f user and more", "htpasswd /etc/f user and more"),
        ("openssl req -new -in request", "openssl req -new -in request"),
        ("rabbitmqctl list_users a b c", "rabbitmqctl list_users a b c"),
        ("smbclient //host/share -U me -c 'get it'", "smbclient //host/share -U me -c get it"),
    ] {
        assert_eq!(shown(&rules, line), want);
        assert_eq!(shown(&rules, want), want, "again");
    }
    let text = "waits for pid 7 (htpasswd -b f user S3cretX)";
    assert_eq!(rules.text(text).unwrap(), "waits for pid 7 (htpasswd -b f user [redacted])");
    assert_eq!(rules.text("waits for mkpasswd to end, and wpa_passphrase took 55.5 ms"), None);
}

#[test]
fn what_cannot_be_seen_in_a_name_hides_nothing() {
    let rules = usual();
    for (line, want) in [
        ("app\0--pass\u{1b}word=S3cretX", "app\0--pass\u{1b}word=[redacted]"),
        ("app\0--pass\u{1b}word\0S3cretX", "app\0--pass\u{1b}word\0[redacted]"),
        ("app\0--pass\u{1b}[1;31mword=S3cretX\0x", "app\0--pass\u{1b}[1;31mword=[redacted]\0x"),
        ("env\0DB_PASS\u{7f}WORD=S3cretX\0x", "env\0DB_PASS\u{7f}WORD=[redacted]\0x"),
        ("app\0--pass\u{200b}word=S3\u{7}cretX", "app\0--pass\u{200b}word=[redacted]"),
        ("app\0--to\u{feff}ken=ä\u{1}S3cretX", "app\0--to\u{feff}ken=[redacted]"),
        ("mysql\0-p\u{8}S3cretX", "mysql\0-p\u{8}[redacted]"),
        // No blank is left out, and what is no credential stays with all that it has.
        ("app\0--colour\tword", "app\0--colour\tword"),
        ("app\0--colour=\u{1b}[31mred\u{1b}[0m", "app\0--colour=\u{1b}[31mred\u{1b}[0m"),
    ] {
        let argv: Vec<String> = line.split('\0').map(str::to_owned).collect();
        let argv = rules.argv(&argv).map_or(argv, |redacted| redacted.argv);
        assert_eq!(argv.join("\0"), want, "{line:?}");
    }
}

#[test]
fn ordinary_command_lines_stay_as_they_are() {
    let rules = usual();
    for line in [
        "python3 -m secrets",
        "python3 train.py --tokenizer bert --max-tokens 4096 --token-limit 100",
        "nginx --key-file /etc/ssl/key.pem --cert-file /etc/ssl/cert.pem",
        "openssl req -key /etc/k.pem -keyout k.pem -passin file:/run/pw -passout env:PW",
        "sort -k1 -k 2,3 -t: --key=2",
        "ssh -p 22 git@example.com",
        "mkdir -p /run/secrets/token",
        "cp -p password.txt secret.txt",
        "docker run -p 8080:80 -v /secret:/secret:ro nginx:1.25@sha256:0123456789abcdef",
        "docker build --secret id=mysecret,src=file .",
        "docker login --password-stdin registry",
        "psql --no-password -h db mydb",
        "psql --password mydb",
        "mysql -u root -p mydb",
        "mysql --password -h h mydb",
        "mysql --port 3306 --protocol tcp",
        "kubectl get secret foo -o json",
        "vault read secret/data/app",
        "gpg --passphrase-file /run/pw --batch -d f",
        "gh auth token",
        "git clone https://example.com:8443/a/b@c.git",
        "git clone ssh://git@example.com/a.git",
        "curl -u me https://example.com:443/x?page=2&sort_key=name",
        "curl -o token.json https://example.com/token",
        "rsync -avz -e ssh a:b c",
        "ffmpeg -pass 1 -i a b",
        "env PWD=/home/u OLDPWD=/tmp PASSWORD_FILE=/run/pw SORT_KEY=name SSL_KEY=/etc/k TOKENIZERS_PARALLELISM=false app",
        "env KUBE_TOKEN_PATH=/var/run/token app",
        "app --password '' --token true --secret=false --api-key ${API_KEY}",
        "sh -c 'app --token $TOKEN --password \"$PW\" -H \"Authorization: Bearer $T\"'",
        "app --private-key /etc/ssl/private.pem --secret-name prod/db --token-type bearer",
        "app --use-password yes --ask-password --verbose",
        "app --password --verbose",
        "java -XX:+UseG1GC -cp a:b:c -Dkey=value com.example.Main",
        "python3 -c 'from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)' --multiprocessing-fork",
        "python3 -m joblib.externals.loky.backend.popen_loky_posix --process-name LokyProcess-1 --pipe 14",
        "gcc -DPASS=1 -c -o pass.o pass.c",
        "make -j8 KEY=value MONKEY=banana",
        "grep -r password: /etc/app",
        "tar --pass-through --compass north",
        "app --key id --keys a b",
        "app sk-learn eyJ ghp_short AKIA xoxb- a://b c:d@e",
        "aws secretsmanager get-secret-value --secret-id prod/db",
        "systemctl --property=LoadCredential=tls:/etc/tls show app",
        "app --password=[redacted] mysql -p[redacted] u://a:[redacted]@h",
    ] {
        assert_eq!(shown(&rules, line), shlex::split(line).unwrap().join(" "), "{line}");
    }
}

#[test]
fn what_is_redacted_is_not_redacted_again() {
    let rules = usual();
    for line in
        ["app --password S3cretX u://a:b@h -H 'Cookie: x=y'", "sh -c 'mysql -pS3cretX'", "curl -u a:b"]
    {
        let once = rules.argv(&shlex::split(line).unwrap()).unwrap();
        assert_eq!(rules.argv(&once.argv), None, "{once:?}");
    }
}

#[test]
fn values_are_counted() {
    let argv = |line: &str| shlex::split(line).unwrap();
    let rules = usual();
    assert_eq!(rules.argv(&argv("app --password a1b2 --token=c3d4 u://a:bcd@h")).unwrap().values, 3);
    assert_eq!(rules.argv(&argv("app a b")), None);
    assert_eq!(rules.argv(&[]), None);
}

#[test]
fn text_that_quotes_command_lines_loses_them_too() {
    let rules = usual();
    let cut = |text: &str| rules.text(text).unwrap_or_else(|| text.to_owned());
    assert_eq!(cut("pid 4243 (mysql -pS3cretX)"), "pid 4243 (mysql -p[redacted])");
    assert_eq!(cut("pid 4243 (app --token S3cretX)"), "pid 4243 (app --token [redacted])");
    assert_eq!(cut("pid 4243 (lsb_release -a)"), "pid 4243 (lsb_release -a)");
    assert_eq!(cut("argv `sh -c PASSWORD=S3cretX ./run`"), "argv `sh -c PASSWORD=[redacted] ./run`");
    assert_eq!(cut("GET http://u:S3cretX@h/ gave 200"), "GET http://u:[redacted]@h/ gave 200");
}

#[test]
fn a_file_adds_rules() {
    let more = r#"
        patterns = ['acct-([0-9]{6,})']
        [names]
        last = ["pin"]
        [programs]
        ourtool = { value = ["-z", "-q*"] }
        ourdb = { words = { place = 2, after = ["adduser"] } }
        [[shapes]]
        begin = "corp_"
        least = 6
    "#;
    let rules = Redactor::new(Some(more)).unwrap();
    let line = "ourtool -z S3cretX -qS3cretX --pin 123456 corp_abcdefgh acct-1234567 --password S3cretX";
    let want = "ourtool -z [redacted] -q[redacted] --pin [redacted] [redacted] acct-[redacted] --password [redacted]";
    assert_eq!(shown(&rules, line), want);
    assert_eq!(shown(&rules, "ourdb -v adduser me S3cretX"), "ourdb -v adduser me [redacted]");
    let none = Redactor::new(Some("[programs]\nx = { words = { place = 0 } }")).unwrap_err();
    assert!(none.contains("x: words: place: from 1 on"), "{none}");
}

#[test]
fn a_bad_file_is_refused_without_showing_it() {
    let error = Redactor::new(Some("root:$6$hash:19000:0:99999:7:::\n")).unwrap_err();
    assert!(error.starts_with("line 1: ") && !error.contains("hash"), "{error}");
    assert!(Redactor::new(Some("patterns = ['(']")).unwrap_err().contains("patterns"));
    assert!(Redactor::new(Some("unknown = 1")).is_err());
    assert!(Redactor::new(Some("[[shapes]]\nbegin = ''\nleast = 1")).unwrap_err().contains("begin"));
}

proptest::proptest! {
    // Whatever the bytes: it ends, and what it cuts out are whole characters.
    #[test]
    fn any_text_is_taken(argv in proptest::collection::vec("(--password|-p|mysql|curl|-u|=|:|://|@|'|\"|[ -~äé\u{ef80}\n]{0,12}){0,6}", 0..6)) {
        let rules = usual();
        if let Some(redacted) = rules.argv(&argv) {
            proptest::prop_assert_eq!(redacted.argv.len(), argv.len());
            proptest::prop_assert!(redacted.values > 0);
        }
        for argument in &argv {
            let _ = rules.text(argument);
        }
    }

    // The credential is gone wherever it stood.
    #[test]
    fn a_generated_credential_is_gone(secret in "[A-Za-z0-9_+/!.]{12,40}", form in 0..6usize) {
        // In a URL, digits and a slash are a port.
        let form = if secret.starts_with(|c: char| c.is_ascii_digit()) && form == 3 { 0 } else { form };
        let line = match form {
            0 => vec!["app".to_owned(), "--password".to_owned(), secret.clone()],
            1 => vec!["app".to_owned(), format!("--api-token={secret}")],
            2 => vec!["app".to_owned(), format!("DB_PASSWORD={secret}")],
            3 => vec!["app".to_owned(), format!("https://user:{secret}@host/")],
            4 => vec!["sh".to_owned(), "-c".to_owned(), format!("mysql -p{secret} db")],
            _ => vec!["curl".to_owned(), "-H".to_owned(), format!("Authorization: Bearer {secret}")],
        };
        let redacted = usual().argv(&line);
        let is_masked = secret.bytes().all(|byte| byte == b'.');
        proptest::prop_assert!(is_masked || redacted.is_some_and(|r| !r.argv.iter().any(|arg| arg.contains(&secret))));
    }
}

#[test]
fn a_text_is_judged_alike_every_time() {
    let redactor = Redactor::new(None).unwrap();
    let hidden = Some("pid 7 (curl -u me:[redacted])".to_owned());
    for round in 0..3 {
        assert_eq!(redactor.text("pid 7 (curl -u me:secret99)"), hidden, "{round}");
        assert_eq!(redactor.text("pid 7 (make all)"), None, "{round}");
        // More than are remembered.
        assert!((0..2 * MAX_CLEAN).all(|n| redactor.text(&format!("pid {n}")).is_none()));
        assert!(redactor.clean.borrow().len() <= MAX_CLEAN);
    }
    let long = format!("{} --password=hunter22", "x ".repeat(LONGEST_CLEAN));
    assert!((0..2).all(|_| redactor.text(&long).is_some_and(|text| !text.contains("hunter"))));
}
