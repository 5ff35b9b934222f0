//! The last part of a model's path, which is rarely its name.

/// Chat models by name, after Baidu's documentation.
const CHAT: &[(&str, &str)] = &[
    ("ERNIE-4.0-8K", "completions_pro"),
    ("ERNIE-Bot-4", "completions_pro"),
    ("ERNIE-4.0-8K-Preemptible", "completions_pro_preemptible"),
    ("ERNIE-4.0-8K-Preview", "ernie-4.0-8k-preview"),
    ("ERNIE-4.0-8K-Preview-0518", "completions_adv_pro"),
    ("ERNIE-4.0-8K-Latest", "ernie-4.0-8k-latest"),
    ("ERNIE-4.0-8K-0104", "ernie-4.0-8k-0104"),
    ("ERNIE-4.0-8K-0329", "ernie-4.0-8k-0329"),
    ("ERNIE-4.0-8K-0613", "ernie-4.0-8k-0613"),
    ("ERNIE-4.0-Turbo-8K", "ernie-4.0-turbo-8k"),
    ("ERNIE-4.0-Turbo-8K-Preview", "ernie-4.0-turbo-8k-preview"),
    ("ERNIE-4.0-Turbo-8K-Latest", "ernie-4.0-turbo-8k-latest"),
    ("ERNIE-4.0-Turbo-128K", "ernie-4.0-turbo-128k"),
    ("ERNIE-3.5-8K", "completions"),
    ("ERNIE-Bot", "completions"),
    ("ERNIE-3.5-8K-Preemptible", "completions_preemptible"),
    ("ERNIE-3.5-8K-Preview", "ernie-3.5-8k-preview"),
    ("ERNIE-3.5-8K-0205", "ernie-3.5-8k-0205"),
    ("ERNIE-3.5-8K-0329", "ernie-3.5-8k-0329"),
    ("ERNIE-3.5-8K-0613", "ernie-3.5-8k-0613"),
    ("ERNIE-3.5-8K-1222", "ernie-3.5-8k-1222"),
    ("ERNIE-3.5-4K-0205", "ernie-3.5-4k-0205"),
    ("ERNIE-3.5-128K", "ernie-3.5-128k"),
    ("ERNIE-Bot-8K", "ernie_bot_8k"),
    ("ERNIE-Speed", "ernie_speed"),
    ("ERNIE-Speed-8K", "ernie_speed"),
    ("ERNIE-Speed-128K", "ernie-speed-128k"),
    ("ERNIE-Speed-Pro-128K", "ernie-speed-pro-128k"),
    ("ERNIE-Lite-8K-0922", "eb-instant"),
    ("ERNIE-Bot-turbo", "eb-instant"),
    ("ERNIE-Lite-8K", "ernie-lite-8k"),
    ("ERNIE-Lite-8K-0308", "ernie-lite-8k"),
    ("ERNIE-Lite-Pro-8K", "ernie-lite-pro-8k"),
    ("ERNIE-Lite-Pro-128K", "ernie-lite-pro-128k"),
    ("ERNIE-Tiny-8K", "ernie-tiny-8k"),
    ("ERNIE-Novel-8K", "ernie-novel-8k"),
    ("ERNIE-Character-8K", "ernie-char-8k"),
    ("ERNIE-Character-8K-0321", "ernie-char-8k"),
    ("ERNIE-Character-Fiction-8K", "ernie-char-fiction-8k"),
    ("ERNIE-Functions-8K", "ernie-func-8k"),
    ("Qianfan-Dynamic-8K", "qianfan-dynamic-8k"),
    ("BLOOMZ-7B", "bloomz_7b1"),
    ("Qianfan-BLOOMZ-7B-compressed", "qianfan_bloomz_7b_compressed"),
    ("Llama-2-7b-chat", "llama_2_7b"),
    ("Llama-2-13b-chat", "llama_2_13b"),
    ("Llama-2-70b-chat", "llama_2_70b"),
    ("Meta-Llama-3-8B-Instruct", "llama_3_8b"),
    ("Meta-Llama-3-70B-Instruct", "llama_3_70b"),
    ("Qianfan-Chinese-Llama-2-7B", "qianfan_chinese_llama_2_7b"),
    ("Qianfan-Chinese-Llama-2-13B-v1", "qianfan_chinese_llama_2_13b"),
    ("Qianfan-Chinese-Llama-2-70B", "qianfan_chinese_llama_2_70b"),
    ("ChatGLM2-6B-32K", "chatglm2_6b_32k"),
    ("AquilaChat-7B", "aquilachat_7b"),
    ("XuanYuan-70B-Chat-4bit", "xuanyuan_70b_chat"),
    ("Yi-34B-Chat", "yi_34b_chat"),
    ("Mixtral-8x7B-Instruct", "mixtral_8x7b_instruct"),
    ("Gemma-7B-it", "gemma_7b_it"),
];

/// Models for embeddings by name.
const EMBEDDINGS: &[(&str, &str)] = &[
    ("Embedding-V1", "embedding-v1"),
    ("bge-large-zh", "bge_large_zh"),
    ("bge-large-en", "bge_large_en"),
    ("tao-8k", "tao_8k"),
];

/// Of a chat model. What is not in the table is a path itself: those that customers deploy have one of their own.
pub(super) fn chat(model: &str) -> &str {
    find(CHAT, model)
}

/// Of a model for embeddings.
pub(super) fn embeddings(model: &str) -> &str {
    find(EMBEDDINGS, model)
}

fn find<'a>(table: &[(&str, &'static str)], model: &'a str) -> &'a str {
    let known = table.iter().find(|(name, _)| name.eq_ignore_ascii_case(model));
    known.map_or(model, |(_, endpoint)| endpoint)
}
