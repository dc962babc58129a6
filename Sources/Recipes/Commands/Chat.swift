import Datasets
import Files
import Foundation

/// A conversation with a model, turn by turn.
public final class Conversing {
    private let generator: TextGenerator
    private var messages: [Message] = []

    /// Begins a conversation.
    public init(_ generator: TextGenerator) { self.generator = generator }

    /// Answers the next turn and remembers both.
    ///
    /// - Parameters:
    ///   - turn: the user's words.
    ///   - onText: takes the answer in pieces as it grows.
    /// - Returns: the whole answer.
    /// - Throws: ``InputError`` where the conversation fills the model's context.
    @discardableResult
    public func reply(to turn: String, onText: @escaping (String) -> Void = { _ in }) throws -> String {
        let asked = messages + [Message(role: "user", content: .string(turn))]
        // A model without a chat template goes on with each turn by itself.
        let prompt = generator.hasTemplate ? Prompt.conversation(Conversation(asked)) : .text(turn)
        let answer = try generator.generate([prompt], onText: onText).answers.first?.text ?? ""
        messages = asked + [Message(role: "assistant", content: .string(answer))]
        return answer
    }

    /// Does what a command of the conversation asks for.
    ///
    /// Nothing of a turn is kept but its words, so that the next one is read anew by whatever is active then.
    ///
    /// - Returns: what there is to say to the user.
    /// - Throws: ``InputError`` for an adapter that is not there; the conversation is then as before.
    public func obey(_ command: ChatCommand) throws -> String {
        switch command {
        case .adapters: break
        case .activate(let stack): try generator.activate(stack)
        case .clear:
            messages = []
            return "the conversation begins anew"
        case .help: return ChatCommand.manual
        }
        let (names, active) = (generator.adapterNames, generator.activeAdapters)
        guard !names.isEmpty else { return "no adapter is loaded; --adapter loads one" }
        let shown = active.isEmpty ? NamedAdapter.none : active.joined(separator: "+")
        return "loaded: \(names.joined(separator: ", ")); active: \(shown)"
    }
}

/// A line of a conversation that begins with a slash.
public enum ChatCommand: Equatable, Sendable {
    /// `/adapter`: which adapters there are.
    case adapters
    /// `/adapter a+b`: makes some active.
    case activate(String)
    /// `/clear`: forgets what was said.
    case clear
    /// `/help`.
    case help

    /// What the commands are.
    public static let manual = """
        /adapter          which adapters are loaded and active
        /adapter NAME     only this one from now on; a+b applies a, then b; none is the model alone
        /clear            begin the conversation anew
        /help             this
        An empty line or Ctrl-D ends the conversation. A line that begins with two slashes is said with one.
        """

    /// Reads a line.
    ///
    /// - Returns: nil for words.
    /// - Throws: ``InputError`` for a command that is none.
    public init?(_ line: String) throws {
        guard line.hasPrefix("/"), !line.hasPrefix("//") else { return nil }
        let words = line.dropFirst().split(maxSplits: 1, whereSeparator: \.isWhitespace)
        let rest = words.dropFirst().first.map { $0.trimmingCharacters(in: .whitespaces) } ?? ""
        switch (words.first ?? "", rest) {
        case ("adapter", ""): self = .adapters
        case ("adapter", let stack): self = .activate(stack)
        case ("clear", ""): self = .clear
        case ("help", ""): self = .help
        case (let name, _):
            let near = nearestName(to: String(name), among: ["adapter", "clear", "help"])
            throw InputError(
                "there is no command \"\(line.trimmingCharacters(in: .whitespaces))\"",
                hint: near.map { "Did you mean /\($0)? /help lists all" } ?? "/help lists the commands")
        }
    }

    /// The words of a line that is no command.
    public static func words(of line: String) -> String { line.hasPrefix("//") ? String(line.dropFirst()) : line }
}
