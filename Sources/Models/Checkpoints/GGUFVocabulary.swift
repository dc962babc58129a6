import Files
import Tokenizers

extension GGUFFile {
    /// What the metadata holds of a tokenizer, under the keys of ggml's `docs/gguf.md`.
    ///
    /// - Throws: ``InputError`` naming the key that is missing or of another kind.
    func tokenizerVocabulary() throws -> TokenizerVocabulary {
        guard let model = try string("tokenizer.ggml.model"), let tokens = try strings("tokenizer.ggml.tokens") else {
            throw InputError("holds no tokenizer", file: path, place: "key 'tokenizer.ggml.tokens'")
        }
        var vocabulary = TokenizerVocabulary(model: model, tokens: tokens)
        vocabulary.pre = try string("tokenizer.ggml.pre")
        vocabulary.scores = try floats("tokenizer.ggml.scores")
        vocabulary.tokenTypes = try int32s("tokenizer.ggml.token_type")
        vocabulary.merges = try strings("tokenizer.ggml.merges")
        vocabulary.bos = try int32("tokenizer.ggml.bos_token_id")
        vocabulary.eos = try int32("tokenizer.ggml.eos_token_id")
        vocabulary.unknown = try int32("tokenizer.ggml.unknown_token_id")
        vocabulary.padding = try int32("tokenizer.ggml.padding_token_id")
        vocabulary.addBOS = try bool("tokenizer.ggml.add_bos_token")
        vocabulary.addEOS = try bool("tokenizer.ggml.add_eos_token")
        vocabulary.addSpacePrefix = try bool("tokenizer.ggml.add_space_prefix")
        vocabulary.chatTemplate = try string("tokenizer.chat_template")
        return vocabulary
    }
}
