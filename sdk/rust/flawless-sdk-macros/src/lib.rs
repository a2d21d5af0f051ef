//! The attributes `#[flawless::workflow]` and `#[flawless::message]` of flawless-sdk, which documents them.

use std::sync::atomic::{AtomicBool, Ordering};

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::spanned::Spanned;
use syn::{
    Attribute, DeriveInput, Error, Expr, ExprLit, FnArg, ItemFn, Lit, LitStr, Meta, ReturnType,
    Type,
};

/// Makes a function a workflow of the module. See the crate flawless-sdk.
#[proc_macro_attribute]
pub fn workflow(name: TokenStream, item: TokenStream) -> TokenStream {
    let made = syn::parse::<LitStr>(name)
        .map_err(|e| {
            Error::new(
                e.span(),
                "give the workflow's name: #[flawless::workflow(\"name\")]",
            )
        })
        .and_then(|name| expand(&name, &syn::parse(item.clone())?));
    match made {
        Ok(tokens) => tokens.into(),
        Err(e) => {
            let mut tokens = TokenStream::from(e.to_compile_error());
            tokens.extend(item);
            tokens
        }
    }
}

/// Makes a type a message. See the crate flawless-sdk.
#[proc_macro_attribute]
pub fn message(name: TokenStream, item: TokenStream) -> TokenStream {
    let made = syn::parse::<LitStr>(name)
        .map_err(|e| {
            Error::new(
                e.span(),
                "give the type of the message: #[flawless::message(\"name\")]",
            )
        })
        .and_then(|name| message_of(&name, &syn::parse(item.clone())?));
    let mut tokens = item;
    tokens.extend(match made {
        Ok(added) => TokenStream::from(added),
        Err(e) => TokenStream::from(e.to_compile_error()),
    });
    tokens
}

fn message_of(name: &LitStr, item: &DeriveInput) -> Result<Tokens, Error> {
    if name.value().trim().is_empty() {
        return Err(Error::new(name.span(), "the type of the message is empty"));
    }
    if let Some(generic) = item.generics.params.first() {
        return Err(Error::new(generic.span(), "a message cannot be generic"));
    }
    let (ident, vis) = (&item.ident, &item.vis);
    Ok(quote! {
        impl ::flawless::MessageType for #ident {
            const NAME: &'static str = #name;
        }
        #[allow(dead_code)]
        impl #ident {
            /// Waits for the next message of this type.
            #[track_caller]
            #vis fn receive() -> ::flawless::Receiving<Self> {
                use ::flawless::__private::{Best, BestInput as _, BestNone as _, BestShape as _};
                ::flawless::__private::receive_as(#name, (&&&Best::<Self>::NEW).wanted())
            }

            /// Sends the message to another run.
            #[track_caller]
            #vis fn send_to(&self, run: &str) -> ::flawless::Asking<()> {
                ::flawless::send(run, #name, self)
            }
        }
    })
}

/// Returns the type with which other code starts runs of a workflow. It has the name of the function, and no
/// values.
fn handle_of(name: &LitStr, f: &ItemFn, input: Option<&Type>, kind: &Tokens) -> Tokens {
    let (ident, vis) = (&f.sig.ident, &f.vis);
    let output = quote!(<#kind as ::flawless::__private::Returned>::Output);
    let given = input.map_or_else(|| quote!(()), |t| quote!(#t));
    let (bound, parameter, value) = match input {
        Some(t) => (
            quote!(<I: ::flawless::__private::InputOf<#t>>),
            quote!(input: &I),
            quote!(input),
        ),
        None => (quote!(), quote!(), quote!(&())),
    };
    quote! {
        #[doc = concat!("Starts runs of the workflow `", #name, "`.")]
        #[allow(non_camel_case_types, dead_code)]
        #vis enum #ident {}

        #[allow(dead_code)]
        impl #ident {
            /// Starts a run of the workflow, see [`flawless::spawn`].
            #[track_caller]
            #vis fn spawn #bound(#parameter) -> ::flawless::Child<#output> {
                ::flawless::spawn(#name, #value)
            }

            /// Starts a run that goes on by itself, see [`flawless::spawn_detached`].
            #[track_caller]
            #vis fn spawn_detached #bound(#parameter) -> ::flawless::Child<#output> {
                ::flawless::spawn_detached(#name, #value)
            }
        }

        impl ::flawless::WorkflowType for #ident {
            const NAME: &'static str = #name;
            type Input = #given;
            type Output = #output;
        }
    }
}

/// Whether this crate already exports flawless_resume. The compiler loads this library once for each crate
/// that it compiles.
static RESUMES: AtomicBool = AtomicBool::new(false);

fn expand(name: &LitStr, f: &ItemFn) -> Result<Tokens, Error> {
    if name.value().trim().is_empty() {
        return Err(Error::new(name.span(), "the workflow's name is empty"));
    }
    let input = input_of(f)?;
    let returned = returned_of(f);
    let doc = doc_of(&f.attrs);
    let function = &f.sig.ident;
    let call = match input {
        Some(_) => quote!(#function(input)),
        None => quote!(#function()),
    };
    let read = input.map(|t| {
        quote! {
            let input = match ::flawless::__private::read_input::<#t>(text) {
                Ok(input) => input,
                Err(ending) => refuse!(ending),
            };
        }
    });
    let schema = match input {
        Some(t) => quote!(Some(::flawless::__private::input_schema::<#t>)),
        None => quote!(None),
    };
    let (wrapped, kind) = match &returned {
        Some((t, true)) => (quote!(|out: #t| out), quote!(#t)),
        Some((t, false)) => (
            quote!(|out: #t| ::flawless::__private::Value(out)),
            quote!(::flawless::__private::Value<#t>),
        ),
        None => (
            quote!(|out: ()| ::flawless::__private::Value(out)),
            quote!(::flawless::__private::Value<()>),
        ),
    };
    let end = quote!(::flawless::__private::Returned::ending);
    let run = if f.sig.asyncness.is_some() {
        quote! {
            fn run(text: &[u8]) -> ::flawless::__private::Running {
                macro_rules! refuse { ($e:expr) => { return Box::pin(::std::future::ready($e)) } }
                #read
                Box::pin(async move { #end((#wrapped)(#call.await)) })
            }
            const BODY: ::flawless::__private::Body = ::flawless::__private::Body::Async(run);
        }
    } else {
        quote! {
            fn run(text: &[u8]) -> ::flawless::__private::Ending {
                macro_rules! refuse { ($e:expr) => { return $e } }
                #read
                #end((#wrapped)(#call))
            }
            const BODY: ::flawless::__private::Body = ::flawless::__private::Body::Plain(run);
        }
    };
    let checked = returned.filter(|(_, result)| !result).map(|(t, _)| {
        quote! {
            const _: () = {
                use ::flawless::__private::{Kind, OtherKind as _};
                assert!(!Kind::<#t>::IS_RESULT, "the workflow returns a Result under another name, so an Err would complete its run: write Result as the return type");
            };
        }
    });
    let resume = resume_of(f);
    let handle = handle_of(name, f, input, &kind);
    Ok(quote! {
        #f
        #handle
        const _: () = {
            #checked
            #[allow(unused_variables, unused_macros)]
            #run
            static WORKFLOW: ::flawless::__private::Workflow = ::flawless::__private::Workflow {
                name: #name,
                doc: #doc,
                input: #schema,
                output: ::flawless::__private::output_schema::<#kind>,
                body: BODY,
            };
            extern "C" fn register() {
                ::flawless::__private::register(&WORKFLOW);
            }
            #[used]
            #[cfg_attr(
                any(target_family = "wasm", target_os = "linux", target_os = "android", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd", target_os = "dragonfly", target_os = "illumos"),
                unsafe(link_section = ".init_array")
            )]
            #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
            #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
            static REGISTER: extern "C" fn() = register;
            #resume
        };
    })
}

/// Returns the export of a module with async workflows, once per crate.
fn resume_of(f: &ItemFn) -> Option<Tokens> {
    f.sig.asyncness?;
    if RESUMES.swap(true, Ordering::Relaxed) {
        return None;
    }
    Some(quote! {
        #[cfg(target_family = "wasm")]
        #[unsafe(export_name = "flawless_resume")]
        extern "C" fn resume() {
            ::flawless::__private::resume();
        }
    })
}

fn input_of(f: &ItemFn) -> Result<Option<&Type>, Error> {
    if let Some(generic) = f.sig.generics.params.first() {
        return Err(Error::new(generic.span(), "a workflow cannot be generic"));
    }
    let mut inputs = f.sig.inputs.iter();
    let input = match inputs.next() {
        None => return Ok(None),
        Some(FnArg::Receiver(r)) => {
            return Err(Error::new(
                r.span(),
                "a workflow is a function, not a method",
            ));
        }
        Some(FnArg::Typed(t)) => &*t.ty,
    };
    match inputs.next() {
        Some(more) => Err(Error::new(
            more.span(),
            "a workflow has one input; put several values in a struct or a tuple",
        )),
        None => Ok(Some(input)),
    }
}

/// Returns the type that a function returns, and whether it is a `Result`.
fn returned_of(f: &ItemFn) -> Option<(&Type, bool)> {
    let ReturnType::Type(_, t) = &f.sig.output else {
        return None;
    };
    let result = match &**t {
        Type::Path(p) => p
            .path
            .segments
            .last()
            .is_some_and(|segment| segment.ident == "Result"),
        _ => false,
    };
    Some((t, result))
}

/// Returns the doc comment, without the space at the beginning of its lines.
fn doc_of(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|a| match &a.meta {
        Meta::NameValue(m) if m.path.is_ident("doc") => match &m.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(s), ..
            }) => Some(s.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines
        .map(|l| l.strip_prefix(' ').unwrap_or(&l).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}
