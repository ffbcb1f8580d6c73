//! A relay: everything that `smoq relay` needs of the library.
//!
//!     cargo run -p smoq-tokio --example relay -- cert.pem key.pem
//!
//! Without arguments it makes a certificate for itself and prints what clients need to believe it:
//!
//!     moqt://127.0.0.1:4443 b5bb9d80…

use std::{env, error::Error, net::Ipv4Addr};

use smoq_tokio::{
    ServerOptions, listen,
    quic::{
        ServerTls, fingerprint,
        rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (chain, key) = if let [chain, key] = &args[..] {
        let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?;
        (chain, PrivateKeyDer::from_pem_file(key)?)
    } else {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        (vec![made.cert.der().clone()], PrivateKeyDer::try_from(made.signing_key.serialize_der())?)
    };
    let pin = fingerprint(&chain[0]).map(|byte| format!("{byte:02x}")).concat();
    // Whoever connects may publish and subscribe; what is announced to one is announced to all others.
    let options =
        ServerOptions::new((Ipv4Addr::LOCALHOST, 4443).into(), ServerTls::new(chain, key)?);
    let mut relay = listen(options)?;
    println!("moqt://{} {pin}", relay.local_addr());
    while let Some(event) = relay.next().await {
        println!("{event:?}");
    }
    Ok(())
}
